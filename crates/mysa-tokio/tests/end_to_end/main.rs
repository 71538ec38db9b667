//! Tests of the client against the simulated cloud, over real TLS, HTTP, WebSocket and MQTT on loopback.

mod check;
mod control_plane;
mod expiry;
mod harness;
mod stored;
mod troubles;
mod wire;

use std::time::Duration;

use mysa_sim::{CloudSpec, Names};
use mysa_sim_server::{Certificate, Server};
use mysa_tokio::{Client, ConnectError, Environment, Event, Mode, NotReady, Reason, Secret, Settings};

use harness::{Cloud, KITCHEN, becomes_live, celsius, check_that_presses_arrive, kitchen, until};

#[tokio::test]
async fn the_main_functions_work_from_end_to_end() {
    let cloud = Cloud::start(CloudSpec::demo()).await;
    let client = cloud.client().await;
    assert_eq!(client.devices().len(), 5);
    becomes_live(&client).await;
    until(&client, "a temperature", |client| {
        client.state(&kitchen()).is_some_and(|device| device.state.temperature().is_some())
    })
    .await;

    let verdict = client.set_setpoint(&kitchen(), celsius(21.5)).await.expect("a verdict");
    assert!(verdict.is_confirmed(), "{verdict}");
    let verdict = client.set_mode(&kitchen(), Mode::Off).await.expect("a verdict");
    assert!(verdict.is_confirmed(), "{verdict}");
    let truth = cloud.server.with_cloud(|cloud, _| cloud.truth(kitchen())).expect("a thermostat");
    assert_eq!((truth.setpoint, truth.mode), (celsius(21.5), mysa_sim::Mode::Off));
    client.shutdown().await;
    assert!(client.set_mode(&kitchen(), Mode::Heat).await.is_err(), "the client is closed");
}

/// First program of a user who knows only the names of the API.
#[tokio::test]
async fn the_first_program_of_a_new_user_works() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let cloud = Cloud::start(CloudSpec::demo()).await;
    let client = cloud.signing_in().connect().await?;
    let mut events = client.events();
    let watching = tokio::spawn(async move {
        loop {
            match events.next().await {
                Some(Event::Verdict { device, verdict, .. }) => return Some((device, verdict.to_string())),
                Some(_) => {}
                None => return None,
            }
        }
    });
    let kitchen = client.devices().into_iter().find(|device| device.name.as_deref() == Some("Kitchen"));
    let kitchen = kitchen.ok_or("no kitchen")?;
    assert_eq!(kitchen.id, KITCHEN.parse::<mysa_tokio::DeviceId>()?);
    let setting = tokio::spawn({
        let client = client.clone();
        async move { client.set_setpoint(&kitchen.id, celsius(21.0)).deadline(Duration::from_secs(20)).await }
    });
    let verdict = setting.await??;
    assert!(verdict.is_confirmed(), "{verdict}");
    assert_eq!(watching.await?, Some((kitchen.id, verdict.to_string())));
    tokio::time::timeout(Duration::from_secs(300), client.ready()).await??;
    let homes = client.read_only().request(mysa_tokio::rest::homes()).await?;
    assert!(String::from_utf8(homes.body)?.contains("Maple Street 12"));
    drop(client);
    cloud.until("everybody has left", |cloud| cloud.clients().count() == 0).await;
    Ok(())
}

#[tokio::test]
async fn energy_is_shown_day_by_day() {
    let mut spec = CloudSpec::demo();
    // Heaters are off for days in summer.
    spec.accounts[0].homes[0].weather.season = 0.0;
    let cloud = Cloud::start(spec).await;
    let client = cloud.client().await;
    let end = cloud.server.with_cloud(|_, now| now.wall);
    let query = mysa_tokio::rest::UsageQuery {
        time_zone: "America/Halifax".into(),
        start: end.plus_millis(-7 * 86_400_000),
        end,
        buckets: false,
        raw: false,
    };
    let history = client.energy(&kitchen(), &query).await.expect("a history");
    assert!((6..=8).contains(&history.days.len()), "{} days", history.days.len());
    assert!(
        history.energy().is_some_and(|energy| energy.as_kilowatt_hours() > 1.0),
        "{:?}",
        history.energy()
    );
}

#[tokio::test]
async fn a_stored_session_is_resumed_without_a_password() {
    let cloud = Cloud::start(CloudSpec::demo()).await;
    let client = cloud.client().await;
    let stored = client.stored_session().expect("a session to store");
    client.shutdown().await;
    let again = cloud.builder().stored(stored, None).connect().await.expect("a client");
    assert_eq!(again.devices().len(), 5);
    assert_eq!(
        cloud.server.with_cloud(|cloud, _| cloud.counters().sign_ins),
        1,
        "there must be no second sign-in"
    );
    let stored = again.stored_session().expect("a session to store");
    assert_eq!(again.sign_out().await.ok(), Some(mysa_tokio::Revocation::Revoked));
    let refused = cloud.builder().stored(stored, None).connect().await;
    assert!(
        matches!(refused, Err(ConnectError::NotReady(NotReady::SignInNeeded(_), _))),
        "the token was revoked: {refused:?}"
    );
}

#[tokio::test]
async fn a_lost_connection_is_restored() {
    let cloud = Cloud::start(CloudSpec::demo()).await;
    let client = cloud.client().await;
    becomes_live(&client).await;
    let before = cloud.server.with_cloud(|cloud, _| cloud.counters().connects);
    cloud.server.cut_connections();
    let verdict = client.set_setpoint(&kitchen(), celsius(18.5)).deadline(Duration::from_secs(25)).await;
    assert!(verdict.as_ref().is_ok_and(mysa_tokio::Verdict::is_confirmed), "{verdict:?}");
    assert!(cloud.server.with_cloud(|cloud, _| cloud.counters().connects) > before);
}

#[tokio::test]
async fn a_cloud_whose_clock_runs_fast_keeps_its_connections() {
    let cloud = Cloud::start_at(CloudSpec::demo(), 100.0).await;
    let client = cloud.client().await;
    becomes_live(&client).await;
    // One hundred seconds exceed the time for which the broker tolerates a silent client.
    let until = cloud.server.with_cloud(|cloud, _| cloud.age()) + Duration::from_secs(100);
    cloud.until("a hundred seconds", |cloud| cloud.age() >= until).await;
    check_that_presses_arrive(&cloud, &client, 23.0).await;
    let counters = cloud.server.with_cloud(|cloud, _| cloud.counters());
    assert_eq!((counters.connects, counters.closed), (1, 0));
}

#[tokio::test]
async fn a_wrong_password_is_reported_as_such() {
    let cloud = Cloud::start(CloudSpec::demo()).await;
    let refused = cloud.builder().password(CloudSpec::DEMO_EMAIL, "wrong").connect().await;
    let Err(ConnectError::NotReady(NotReady::SignInNeeded(Reason::Refused(_)), _)) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(
        cloud.server.with_cloud(|cloud, _| cloud.counters().wrong_passwords),
        1,
        "the password must be tried once"
    );
}

#[tokio::test]
async fn an_authority_that_is_not_trusted_is_refused() {
    let cloud = Cloud::start(CloudSpec::demo()).await;
    let client = Client::builder(Environment::mysa())
        .connect_to(cloud.server.address())
        .extra_ca(
            Certificate::for_cloud(&Names::default()).expect("another").authority_pem().expect("made here"),
        )
        .password(CloudSpec::DEMO_EMAIL, Secret::from(CloudSpec::DEMO_PASSWORD))
        .connect()
        .await;
    assert!(matches!(client, Err(ConnectError::NotReady(NotReady::Offline(_), _))), "{client:?}");
    assert_eq!(
        cloud.server.with_cloud(|cloud, _| cloud.counters().http_requests),
        0,
        "no request may reach an untrusted server"
    );
}

#[tokio::test]
async fn a_certificate_for_another_host_is_refused() {
    let certificate = Certificate::made_on_the_spot(["other.example.org"]).expect("a certificate");
    let authority = certificate.authority_pem().expect("made here").to_owned();
    let server = Server::start(([127, 0, 0, 1], 0).into(), certificate, CloudSpec::demo(), 7, 1.0).await;
    let server = server.expect("a free port");
    let client = Client::builder(Environment::mysa())
        .connect_to(server.address())
        .extra_ca(authority)
        .password(CloudSpec::DEMO_EMAIL, CloudSpec::DEMO_PASSWORD)
        .connect()
        .await;
    assert!(matches!(client, Err(ConnectError::NotReady(NotReady::Offline(_), _))), "{client:?}");
    assert_eq!(
        server.with_cloud(|cloud, _| cloud.counters().http_requests),
        0,
        "no request may reach an untrusted server"
    );
}

#[tokio::test]
async fn two_clients_of_one_account_do_not_disturb_each_other() {
    let cloud = Cloud::start(CloudSpec::demo()).await;
    let (one, other) = tokio::join!(cloud.client(), cloud.client());
    becomes_live(&one).await;
    becomes_live(&other).await;
    let verdict = one.set_setpoint(&kitchen(), celsius(22.0)).await.expect("a verdict");
    assert!(verdict.is_confirmed(), "{verdict}");
    until(&other, "the other one's setpoint", |client| {
        client
            .state(&kitchen())
            .and_then(|device| device.state.setpoint())
            .is_some_and(|field| field.value == celsius(22.0))
    })
    .await;
    assert_eq!(cloud.server.with_cloud(|cloud, _| cloud.counters().taken_over), 0);
}

#[tokio::test]
async fn a_read_only_session_sends_no_command() {
    let cloud = Cloud::start(CloudSpec::demo()).await;
    let mut settings = Settings::default();
    settings.read_only = true;
    let client = cloud.client_with(settings).await;
    let verdict = client.set_mode(&kitchen(), Mode::Off).await.expect("a verdict");
    assert!(matches!(verdict, mysa_tokio::Verdict::Refused(_)), "{verdict}");
    let written = client.write_settings(mysa_tokio::rest::set_lock(kitchen(), true)).await;
    let read_only =
        |error: &_| matches!(error, mysa_tokio::Error::Request(mysa_tokio::RequestError::ReadOnly));
    assert!(written.as_ref().is_err_and(read_only), "{written:?}");
}

#[tokio::test]
async fn a_monitor_receives_and_writes_nothing() {
    let cloud = Cloud::start(CloudSpec::demo()).await;
    let monitor = cloud.signing_in().monitor().await.expect("a monitor");
    let mut events = monitor.events();
    cloud.press(23.0);
    let pressed = |device: mysa_tokio::DeviceView| {
        device.state.setpoint().is_some_and(|field| field.value == celsius(23.0))
    };
    while !monitor.state(&kitchen()).is_some_and(pressed) {
        events.next().await.expect("the client keeps running");
    }
    while !monitor.is_live() {
        events.next().await.expect("the client keeps running");
    }
    assert_eq!(monitor.service().reason, Reason::ReadOnlyByChoice);
    monitor.shutdown().await;
    let counters = cloud.server.with_cloud(|cloud, _| cloud.counters());
    assert_eq!((counters.structured_updates, counters.settings_writes), (0, 0));
}

#[tokio::test]
async fn a_group_of_thermostats_has_one_verdict_each() {
    let cloud = Cloud::start(CloudSpec::demo()).await;
    let client = cloud.client().await;
    becomes_live(&client).await;
    let bedroom =
        client.devices().into_iter().find(|device| device.label() == "Bedroom").expect("a bedroom").id;
    let group = [kitchen(), bedroom];
    let verdicts = client.set_many(&group, mysa_tokio::Change::setpoint(celsius(18.0))).all().await;
    assert_eq!(verdicts.len(), 2);
    for (device, verdict) in verdicts {
        assert!(verdict.as_ref().is_ok_and(mysa_tokio::Verdict::is_confirmed), "{device}: {verdict:?}");
        let truth = cloud.server.with_cloud(|cloud, _| cloud.truth(device)).expect("a thermostat");
        assert_eq!(truth.setpoint, celsius(18.0));
    }
}

#[tokio::test]
async fn futures_may_be_dropped_at_any_moment() {
    let cloud = Cloud::start(CloudSpec::demo()).await;
    let client = cloud.client().await;
    becomes_live(&client).await;
    let mut events = client.events();
    for millis in [0, 1, 5, 20, 60] {
        let command = client.set_setpoint(&kitchen(), celsius(19.0)).into_future();
        let _ = tokio::time::timeout(Duration::from_millis(millis), command).await;
        let _ = tokio::time::timeout(Duration::from_millis(millis), events.next()).await;
        let _ = tokio::time::timeout(Duration::from_millis(millis), client.ready()).await;
    }
    let verdict = client.set_setpoint(&kitchen(), celsius(20.0)).await.expect("a verdict");
    assert!(verdict.is_confirmed(), "{verdict}");
}

#[tokio::test]
async fn shutting_down_ends_in_every_phase() {
    let cloud = Cloud::start(CloudSpec::demo()).await;
    type DeliveryStage = fn(&mysa_sim::Counters) -> u64;
    let phases: [(&str, DeliveryStage); 5] = [
        ("at once", |_| 1),
        ("while signing in", |counters| counters.http_requests),
        ("while listing", |counters| counters.rest_requests),
        ("while connecting", |counters| counters.upgrades),
        ("while subscribing", |counters| counters.connects),
    ];
    for (phase, reached) in phases {
        let so_far = cloud.server.with_cloud(|cloud, _| reached(&cloud.counters()));
        let client = cloud.signing_in().start().expect("a client");
        let mut events = client.events();
        if phase != "at once" {
            cloud.until(phase, |cloud| reached(&cloud.counters()) > so_far).await;
        }
        let command = tokio::spawn(client.set_mode(&kitchen(), Mode::Heat).into_future());
        tokio::task::yield_now().await;
        let end = tokio::time::timeout(Duration::from_secs(300), client.shutdown()).await;
        end.unwrap_or_else(|_| panic!("{phase}: never: the end of shutdown"));
        // The command was either never sent or has a verdict.
        let _ = command.await.expect("no panic");
        while let Some(event) = events.next().await {
            assert!(!matches!(event, Event::Dropped { .. }), "{phase}");
        }
        cloud.until("everybody has left", |cloud| cloud.clients().count() == 0).await;
    }
}
