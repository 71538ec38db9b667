//! Routing of inputs to the parts of a session, and of their effects to other parts. Nothing is decided here.

use super::*;
use crate::commands::book::StructuredAnswer;
use crate::mqtt::pool::Ended;

impl Session {
    pub(super) fn advance_clock(&mut self, now: Now) {
        // The monotonic clock never runs back here, even if a caller's reading does.
        let mono = now.mono.max(self.cx.now.mono);
        self.cx.now = Now { mono, ..now };
        let Some(jump_ms) = self.cx.clock.tick(self.cx.now) else { return };
        if let Ok(ahead) = u64::try_from(jump_ms) {
            // The wall clock ran ahead, which may mean sleep: tokens expire by the cloud's clock, which did not stop.
            self.identity.age(Duration::from_millis(ahead));
        }
        // During a suspend the broker may have closed a connection unnoticed. A fresh `Date` distinguishes
        // sleep from a clock that was set.
        self.mqtt.probe(&mut self.cx);
        self.rest.schedule_states_no_later_than(mono);
        self.due = Some(Deadline::new(mono, Wake::Work));
    }

    /// Learns the cloud's time from the `Date` of an answer. Returns `true` if only a second answer can settle the
    /// matter.
    pub(super) fn learn_date(&mut self, source: ClockSource, answer: HttpAnswer<'_>, took: Duration) -> bool {
        let Some(date) = answer.date else { return false };
        match self.cx.clock.learn(self.cx.now, source, date, answer.age, took) {
            Learned::Nothing => false,
            Learned::NeedsSecondAnswer => true,
            Learned::Moved(ahead_ms) => {
                self.cx.event(Event::ClockOff { ahead_ms });
                false
            }
        }
    }

    /// Applies the answer to a REST request, or the lack of one, according to the request's purpose.
    pub(super) fn rest_outcome(&mut self, purpose: Purpose, outcome: &Outcome, result: HttpResult<'_>) {
        let (status, body) = match result {
            HttpResult::Answer(HttpAnswer { status, body, .. }) => (status, body),
            HttpResult::Failed(_) => (0, &[][..]),
        };
        let live = self.mqtt.is_live() && matches!(self.service.service.level, Level::Live | Level::ReadOnly);
        let Self { cx, rest, devices, commands, .. } = self;
        let mut decisions = Vec::new();
        match (purpose, outcome) {
            (Purpose::Update(serial), outcome) => {
                let device = commands.device_of(serial).and_then(|id| devices.find(id));
                let mut answer = StructuredAnswer::from(outcome);
                if let (StructuredAnswer::Refused { retry_after, .. }, HttpResult::Answer(http)) =
                    (&mut answer, result)
                {
                    *retry_after = cx.wait_of(http);
                }
                commands.structured_answered(serial, answer, cx.mono(), &mut decisions);
                if !cx.settings.await_effect {
                    commands.end_accepted(serial, cx.mono());
                }
                // An observation made while the request was unanswered may count as evidence only now.
                if let Some(device) = device {
                    commands.judge(device.id(), device.state(), None, cx.mono(), &mut decisions);
                }
            }
            (_, Outcome::TokenRefused) => {}
            (Purpose::Devices, Outcome::Done) => match DeviceList::decode(body) {
                Ok(list) => {
                    rest.devices_done(cx, true);
                    self.list(&list);
                }
                Err(_) => {
                    if rest.unreadable(cx, purpose, status, body) {
                        rest.devices_done(cx, false);
                    }
                }
            },
            (Purpose::Devices, _) => rest.devices_done(cx, false),
            (Purpose::States, Outcome::Done) => {
                let states = DeviceStates::decode(body);
                match &states {
                    Ok(states) => {
                        devices.handle_states(cx, commands, states, &mut decisions);
                        rest.states_done(cx, true, live);
                    }
                    Err(_) => {
                        if rest.unreadable(cx, purpose, status, body) {
                            rest.states_done(cx, false, live);
                        }
                    }
                }
                // The cloud's states follow a command with some delay.
                if commands.is_observing() {
                    rest.schedule_states_no_later_than(cx.after(STATE_CHECK_DELAY));
                }
            }
            (Purpose::States, _) => rest.states_done(cx, false, live),
            (Purpose::Reported(id), Outcome::Done) => {
                if let Ok(state) = StructuredState::decode(body) {
                    devices.handle_reported(cx, commands, id, &state, &mut decisions);
                }
            }
            (Purpose::Reported(_), _) => {}
            (Purpose::User, Outcome::Done) => {
                if let Ok(user) = User::decode(body) {
                    devices.handle_user(cx, &user);
                }
            }
            // It is asked again with the next list.
            (Purpose::User, _) => {}
            (Purpose::Read(id) | Purpose::Write(id), outcome) => {
                let result = match (outcome, result) {
                    (Outcome::Done, _) => Ok(Response { status, body: body.into() }),
                    // Reported as unsent, so the caller may repeat even a write.
                    (Outcome::NotSent, HttpResult::Failed(HttpFailure::Timeout)) => {
                        Err(RequestError::NotSent)
                    }
                    (_, HttpResult::Answer(answer)) => Err(cx.refused(answer)),
                    (_, HttpResult::Failed(failure)) => Err(RequestError::Failed(failure)),
                };
                cx.outbox.keep(Event::Response { id, result });
            }
        }
        self.emit(decisions);
    }

    /// Applies the device list: adds and removes thermostats and adjusts the subscriptions.
    pub(super) fn list(&mut self, list: &DeviceList) {
        let changes = self.devices.handle_list(&mut self.cx, list);
        // The service has returned lists with holes, so a removal needs a second list.
        if changes.is_incomplete {
            self.rest.schedule_devices_no_later_than(self.cx.after(SECOND_LIST_DELAY));
        }
        for id in changes.removed {
            self.give_up(|command| command.device == id, Expired::Cancelled);
            self.devices.remove(id);
            self.cx.event(Event::DeviceRemoved { device: id });
        }
        // The states cannot be read before the first list, and callers may be waiting for them.
        if !self.listed {
            self.rest.schedule_states_no_later_than(self.cx.mono());
        }
        if self.devices.iter().any(Device::may_be_lite) {
            let request = mysa_proto::rest::users().into_request();
            self.rest.ask(&self.cx, request, Purpose::User);
        }
        self.listed = true;
        self.want_devices();
    }

    /// Applies the events of connections to the parts they concern.
    pub(super) fn apply_connection_events(&mut self, events: &[ConnectionEvent]) {
        for event in events {
            match *event {
                ConnectionEvent::Granted(filter) => {
                    self.devices.subscription_granted(&mut self.cx, filter);
                }
                ConnectionEvent::Denied(TopicFilter::Everything)
                | ConnectionEvent::NoAnswer(TopicFilter::Everything) => self.want_devices(),
                ConnectionEvent::Denied(TopicFilter::Device(id, kind))
                | ConnectionEvent::NoAnswer(TopicFilter::Device(id, kind)) => {
                    if let Some(device) = self.devices.find_mut(id) {
                        // `/batch` is optional: only a refusal of `/out` leaves the thermostat without statuses.
                        device.refused |= kind == TopicKind::Out;
                        device.notify(&mut self.cx, Changes::default(), true);
                    }
                }
                ConnectionEvent::Acknowledged(Publishing::Command { serial, .. }) => {
                    let (now, after) = (self.cx.mono(), self.cx.settings.command_repeat_after);
                    self.commands.accepted_by_broker(serial, now, after);
                    if !self.cx.settings.await_effect {
                        self.commands.end_accepted(serial, now);
                    }
                }
                ConnectionEvent::Unanswered(Publishing::Command { serial, .. }) => {
                    self.publish_failed(serial, false)
                }
                ConnectionEvent::Acknowledged(Publishing::LiveReport { device }) => {
                    // Thermostats do not answer the request, so the broker's acknowledgement is the only sign of its
                    // arrival.
                    let until = self.cx.after(self.cx.settings.live_report);
                    if let Some(device) = self.devices.find_mut(device) {
                        device.lease_until = until;
                    }
                }
                ConnectionEvent::Live
                | ConnectionEvent::ConnectRefused(_)
                | ConnectionEvent::Unanswered(Publishing::LiveReport { .. })
                | ConnectionEvent::Dead => {}
            }
        }
        if self.mqtt.wildcard_refused() && self.cx.settings.subscriptions.wildcard {
            // The access policy names topics of single devices (mysa_client). Each thermostat gets its own filter from
            // now on.
            self.cx.settings.subscriptions.wildcard = false;
            self.want_devices();
        }
    }

    /// Recomputes the service level, and requests the states by REST if the level calls for them.
    pub(super) fn update_service(&mut self) {
        let sign_in = self.sign_in_reason();
        let Self { cx, identity, rest, mqtt, devices, service, .. } = self;
        let delivery = devices.delivery(cx);
        let facts = ServiceFacts {
            auth: identity,
            rest,
            mqtt,
            delivery,
            sign_in,
            captured: self.captured,
            no_devices: self.listed && !self.captured && devices.len() == 0,
            ended: self.ended,
        };
        let needs_states = service.update(cx, &facts);
        let level = service.service.level;
        self.unproven = matches!(service.service.reason, Reason::NothingDelivered | Reason::NoReports);
        // Within the grace period the level still counts the lost connection as live.
        devices.update_links(cx, level, level <= Level::ReadOnly || mqtt.is_live());
        if needs_states {
            rest.schedule_states_no_later_than(cx.mono());
        } else if matches!(delivery, Delivery::Suspect | Delivery::Withheld) && mqtt.is_live() {
            let read = rest.read_at.unwrap_or_default();
            rest.schedule_states_no_later_than(
                read.saturating_add(cx.settings.poll_rest_only).max(cx.mono()),
            );
        }
    }

    /// Decodes the bytes of a connection and applies the result. Returns `true` if other parts have something to do.
    pub(super) fn receive(&mut self, at: usize, bytes: &[u8]) -> bool {
        let Self { cx, mqtt, devices, commands, unproven, .. } = self;
        let Some(connection) = mqtt.connections.get_mut(at) else { return false };
        // Even a message that changes no state.
        let is_unproven = *unproven;
        let mut events = Vec::new();
        let mut decisions = Vec::new();
        let mut work = false;
        let answered = connection.receive(cx, bytes, &mut events, |cx, message| {
            work |= devices.handle_message(cx, commands, message, &mut decisions) || is_unproven;
        });
        let any = work || answered || !events.is_empty() || !decisions.is_empty();
        if any {
            self.mqtt.apply_events(&mut self.cx, at, &events);
            self.apply_connection_events(&events);
            self.emit(decisions);
        }
        any
    }

    pub(super) fn end_connection(&mut self, at: usize, ending: CloseReason) {
        self.mqtt.end(&mut self.cx, at, ending);
        self.apply_ended_connections();
    }

    /// Returns commands queued on ended connections to the waiting state. Commands that the broker had not acknowledged
    /// use the other channel if there is one.
    pub(super) fn apply_ended_connections(&mut self) {
        let ended = self.mqtt.take_ended();
        if ended.is_empty() {
            return;
        }
        for Ended { conn, recalled } in ended {
            for serial in self.commands.connection_ended(conn) {
                self.publish_failed(serial, recalled);
            }
        }
        let Self { cx, mqtt, devices, .. } = self;
        for device in devices.iter_mut() {
            if mqtt.subscription(device.id()) != Some(SubscriptionState::Granted) {
                // Time without a subscription does not count as silence of the broker.
                device.interrupt(cx.mono());
            }
        }
    }

    /// Handles a publish without an acknowledgement. `recalled` if its connection was ended for the sake of another command.
    pub(super) fn publish_failed(&mut self, serial: u64, recalled: bool) {
        let Some(device) = self.commands.device_of(serial) else { return };
        let (cx, routes, commands) = self.routes();
        if routes.has_second_channel(cx, device) {
            commands.publish_failed(serial);
        } else if recalled {
            commands.publish_again(serial, cx.now, cx.settings.command_repeats);
        } else {
            commands.publish_ended(serial);
        }
    }

    /// Decides every command, answers every caller, and closes every connection.
    pub(super) fn close_all(&mut self, why: Expired) {
        self.give_up(|_| true, why);
        self.commands.requests_dropped();
        let mut results = self.rest.stop(&mut self.cx);
        let lookups = self.control_plane.stop(&mut self.cx);
        results.extend(lookups.into_iter().map(|id| (id, RequestError::NotSignedIn)));
        for (id, error) in results {
            self.cx.outbox.keep(Event::Response { id, result: Err(error) });
        }
        self.mqtt.stop(&mut self.cx);
        self.apply_ended_connections();
    }

    /// Decides the commands that `chosen` selects at once.
    pub(super) fn give_up(&mut self, chosen: impl Fn(&OpenCommand) -> bool, why: Expired) {
        let Self { cx, commands, devices, .. } = self;
        let mut decisions = Vec::new();
        commands.give_up(chosen, why, cx.now, |command| devices.seen_since(command), &mut decisions);
        self.emit(decisions);
    }

    /// Decides the commands whose time is over.
    pub(super) fn expire_commands(&mut self) {
        let Self { cx, commands, devices, .. } = self;
        if commands.is_empty() {
            return;
        }
        let mut decisions = Vec::new();
        commands.expire(cx.now, |command| devices.seen_since(command), &mut decisions);
        self.emit(decisions);
    }

    /// Queues the transmissions that may be sent now, and requests the reported states that are due.
    pub(super) fn dispatch_commands(&mut self) {
        if self.commands.is_empty() {
            return;
        }
        let mut decisions = Vec::new();
        let (cx, mut routes, commands) = self.routes();
        commands.dispatch(cx, &mut routes, &mut decisions);
        self.emit(decisions);
        let now = self.cx.mono();
        for device in self.commands.due_state_reads(now) {
            let request = mysa_proto::rest::structured_state(device).into_request();
            self.rest.ask(&self.cx, request, Purpose::Reported(device));
        }
    }

    /// Routes to the thermostats, with the context and the command book: what a dispatch needs.
    pub(super) fn routes(&mut self) -> (&mut Context, Routes<'_>, &mut CommandBook) {
        let Self { cx, identity, rest, mqtt, devices, commands, service, captured, .. } = self;
        let (level, structured_failed) = (service.service.level, commands.structured_failed());
        let routes =
            Routes { auth: identity, rest, mqtt, devices, level, structured_failed, captured: *captured };
        (cx, routes, commands)
    }

    /// Emits verdicts and records the confirmed settings. Decided commands are removed from every queue.
    pub(super) fn emit(&mut self, decisions: Vec<Decision>) {
        if decisions.is_empty() {
            return;
        }
        for Decision { id, device, verdict, confirmed, by_structured, mqtt_failed } in decisions {
            if let Some(confirmed) = confirmed {
                let Self { cx, devices, .. } = self;
                if let Some(device) = devices.find_mut(device) {
                    // The state changes before the verdict is queued, so that a caller that reads the verdict
                    // finds the new values.
                    device.confirm(cx, &confirmed);
                }
                // The structured service executed the command, so the network worked and the broker dropped
                // the publish.
                if by_structured && self.mqtt.permission.is_suspect() {
                    let (at, probe_at) = (self.cx.time(), self.cx.after(self.cx.settings.read_only_probe));
                    if mqtt_failed {
                        self.mqtt.permission.deny(at, probe_at, true);
                    } else {
                        self.mqtt.permission.suspect(at);
                    }
                }
            }
            // A confirmed command has been carried out, and its answer ends the wait of the next one.
            if !verdict.is_confirmed()
                && let Some(serial) = self.commands.unanswered_request(id)
            {
                self.rest.abort(&mut self.cx, serial);
            }
            self.cx.outbox.keep(Event::Verdict { id, device, verdict });
            self.update_pending(device);
        }
        // Bytes in the buffers of the driver and the system cannot be recalled. Aborting the connection keeps them
        // from being sent.
        for serial in self.commands.partly_decided() {
            if let Some(at) = self.mqtt.decide(serial, self.cx.now) {
                self.end_connection(at, CloseReason::GivenUp);
            }
        }
        for serial in self.commands.retire() {
            if let Some(at) = self.mqtt.release(serial, self.cx.now) {
                self.end_connection(at, CloseReason::GivenUp);
            }
        }
    }

    /// Updates the undecided changes that a thermostat shows as pending.
    pub(super) fn update_pending(&mut self, device: DeviceId) {
        let pending = self.commands.pending(device);
        if let Some(device) = self.devices.find_mut(device) {
            device.pending = (pending != Change::default()).then(|| pending.into());
        }
    }

    pub(super) fn want_devices(&mut self) {
        let Self { cx, mqtt, devices, .. } = self;
        mqtt.want(cx, devices.iter().map(Device::id));
    }

    /// Performs everything that is due. One action can make another due, hence a few rounds; the limit keeps each call
    /// bounded, and the rest is due at once.
    pub(super) fn step(&mut self) {
        for _ in 0..4 {
            if self.ended {
                self.due = None;
                self.update_service();
                return;
            }
            let mut events: Vec<ConnectionEvent> = Vec::new();
            if !self.captured {
                let connecting = self.mqtt.wants_credentials();
                let wanted = connecting || self.control_plane.wants_credentials();
                self.identity.step(&mut self.cx, wanted);
                let have_devices = self.devices.len() > 0;
                if let Some((purpose, lost)) = self.rest.step(&mut self.cx, &mut self.identity, have_devices)
                {
                    self.rest_outcome(purpose, &lost, HttpResult::Failed(HttpFailure::Timeout));
                }
                self.control_plane.step(&mut self.cx, &self.identity, connecting);
                self.release_callers();
            }
            // Expiry comes before dispatch: a command is not sent at its deadline.
            self.expire_commands();
            self.dispatch_commands();
            self.mqtt.step(&mut self.cx, &self.identity, &mut events);
            self.apply_connection_events(&events);
            self.apply_ended_connections();
            self.keep_permission();
            // After the commands, which have precedence in the pace of a connection.
            self.devices.ask_live_reports(&mut self.cx, &mut self.mqtt);
            self.devices.update_staleness(&mut self.cx);
            self.update_service();
            self.due = self.next_due();
            if self.due.is_none_or(|due| due.at > self.cx.mono()) {
                return;
            }
        }
    }

    /// Answers callers that wait although the session can no longer sign in.
    pub(super) fn release_callers(&mut self) {
        if self.identity.blocked().is_some()
            && self.identity.id_token(&self.cx).is_none()
            && self.rest.callers() + self.control_plane.callers() > 0
        {
            for id in self.rest.drop_callers().into_iter().chain(self.control_plane.drop_callers()) {
                self.cx.outbox.keep(Event::Response { id, result: Err(RequestError::NotSignedIn) });
            }
        }
    }

    /// Stores what was learnt about the permission to publish, so the next run starts with it.
    pub(super) fn keep_permission(&mut self) {
        if self.captured || !self.mqtt.permission.is_known() {
            return;
        }
        let denied_at = self.mqtt.permission.denied_at().map(mysa_proto::UnixTime::as_secs);
        self.identity.set_publish_denied_at(&mut self.cx, denied_at);
    }

    pub(super) fn next_due(&mut self) -> Option<Deadline> {
        // Every part that acts on time alone is listed here: a missing one would sleep until the next input.
        let mut due = self.mqtt.deadline(&self.cx, &self.identity);
        if !self.captured {
            let connecting = self.mqtt.wants_credentials();
            let wanted = connecting || self.control_plane.wants_credentials();
            due = earlier(due, self.identity.deadline(wanted));
            due = earlier(due, self.control_plane.deadline(&self.cx, &self.identity, connecting));
            due = earlier(due, self.rest.deadline(&self.cx, &self.identity, self.devices.len() > 0));
        }
        if !self.commands.is_empty() {
            let (cx, routes, commands) = self.routes();
            due = earlier(due, commands.due(cx, &routes));
        }
        due = earlier(due, self.devices.lease_due(&self.mqtt));
        due = earlier(due, self.devices.staleness_due(&self.cx));
        due = earlier(due, self.devices.delivery_due(&self.cx));
        earlier(due, self.service.due(&self.cx, &self.rest))
    }

    /// Reason why signing in needs a person, as a reason of the service.
    pub(super) fn sign_in_reason(&self) -> Option<Reason> {
        if self.captured {
            // A captured URL cannot be renewed: only a person can provide another.
            return self.mqtt.captured_expired(&self.cx).then_some(Reason::CapturedUrlExpired);
        }
        if self.identity.challenge_open() {
            return Some(Reason::ChallengeOpen);
        }
        match self.identity.blocked()? {
            // A lock-out ends by itself, so it is not reported as a refusal.
            Reason::Refused(RefusalKind::LockedOut) => Some(Reason::Throttled),
            reason => Some(reason),
        }
    }
}
