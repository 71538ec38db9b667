#!/usr/bin/with-contenv bashio
# shellcheck shell=bash
# Signs in if that is needed, then runs the bridge. Options come from Home Assistant by bashio.

# Settings and sessions are part of the app's backup.
export HOME=/data XDG_CONFIG_HOME=/data XDG_STATE_HOME=/data
MYSA_ACCOUNT=$(bashio::config email)
export MYSA_ACCOUNT

if bashio::config.has_value broker; then
  MYSA_BRIDGE_BROKER=$(bashio::config broker)
  if bashio::config.has_value broker_user; then
    MYSA_BRIDGE_USER=$(bashio::config broker_user)
    MYSA_BRIDGE_PASSWORD=$(bashio::config broker_password)
    export MYSA_BRIDGE_USER MYSA_BRIDGE_PASSWORD
  fi
elif bashio::services.available mqtt; then
  scheme=mqtt
  if [ "$(bashio::services mqtt ssl)" = true ]; then scheme=mqtts; fi
  MYSA_BRIDGE_BROKER=$scheme://$(bashio::services mqtt host):$(bashio::services mqtt port)
  MYSA_BRIDGE_USER=$(bashio::services mqtt username)
  MYSA_BRIDGE_PASSWORD=$(bashio::services mqtt password)
  export MYSA_BRIDGE_USER MYSA_BRIDGE_PASSWORD
else
  bashio::log.fatal "There is no MQTT broker: install the Mosquitto app, or set the option broker."
  exit 2
fi
export MYSA_BRIDGE_BROKER MYSA_BRIDGE_METRICS=0.0.0.0:9464

mysa --quiet config set unit "$(bashio::config unit)" || exit

# 4: there is no session, or the cloud refuses it. Any other failure, such as no network, is the bridge's to wait out.
code=0
timeout 60 mysa --quiet devices >/dev/null 2>&1 || code=$?
if [ "$code" = 4 ]; then
  bashio::log.info "Signing in."
  # The password is stored by Home Assistant only.
  bashio::config password | mysa --quiet login "$MYSA_ACCOUNT" --password-stdin || exit
fi
exec mysa bridge
