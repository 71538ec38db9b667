//! Expiry of tokens and credentials, and challenges that need a person.

use std::time::Duration;

use mysa_sim::{ChallengeSpec, CloudSpec, Incident};
use mysa_tokio::{
    ChallengeKind, Client, ConnectError, Level, NotReady, RefreshFlow, Settings, TokenFile, rest,
};

use crate::harness::{Cloud, becomes_live, celsius, check_that_presses_arrive, kitchen, short_pauses};

/// Checks that everything works: REST answers, a command is confirmed, and a change made at the thermostat arrives,
/// without a second sign-in.
async fn check_everything_works(cloud: &Cloud, client: &Client) {
    let listed = client.request(rest::devices()).await;
    assert!(listed.is_ok(), "{listed:?}");
    let verdict = client.set_setpoint(&kitchen(), celsius(21.5)).await.expect("a verdict");
    assert!(verdict.is_confirmed(), "{verdict}");
    check_that_presses_arrive(cloud, client, 23.0).await;
    assert_eq!(
        cloud.server.with_cloud(|cloud, _| cloud.counters().sign_ins),
        1,
        "there must be no second sign-in"
    );
}

#[tokio::test]
async fn tokens_that_expire_early_are_renewed_at_the_first_refused_request() {
    let cloud = Cloud::start(CloudSpec::demo()).await;
    let client = cloud.client().await;
    becomes_live(&client).await;
    cloud.server.with_cloud(|cloud, now| cloud.act(now, Incident::ExpireTokens));
    check_everything_works(&cloud, &client).await;
    assert_eq!(cloud.server.with_cloud(|cloud, _| cloud.counters().refreshes), 1);
}

/// Checks that the connection outlives the credentials that signed it, and that a new connection gets new ones.
async fn credentials_expire(and_tokens: bool) {
    let cloud = Cloud::start(CloudSpec::demo()).await;
    let client = cloud.client_with(short_pauses()).await;
    becomes_live(&client).await;
    let before = cloud.server.with_cloud(|cloud, now| {
        cloud.act(now, Incident::ExpireCredentials);
        if and_tokens {
            cloud.act(now, Incident::ExpireTokens);
        }
        cloud.counters()
    });
    check_that_presses_arrive(&cloud, &client, 17.0).await;
    cloud.server.cut_connections();
    check_everything_works(&cloud, &client).await;
    let after = cloud.server.with_cloud(|cloud, _| cloud.counters());
    assert_eq!(after.grants, before.grants + 1, "credentials must be fetched once");
    assert_eq!(after.connects, before.connects + 1);
    assert_eq!(after.refreshes, u64::from(and_tokens));
}

#[tokio::test]
async fn expired_credentials_are_replaced_when_the_connection_is_restored() {
    credentials_expire(false).await;
}

#[tokio::test]
async fn tokens_and_credentials_may_have_expired_together() {
    credentials_expire(true).await;
}

/// Each use of a refresh token invalidates it; both clients need the next one several times, often at the same moment.
#[tokio::test]
async fn two_clients_of_one_token_file_share_tokens_that_rotate() {
    let mut spec = CloudSpec::demo();
    spec.rules.rotation = true;
    let cloud = Cloud::start(spec).await;
    let mut settings = Settings::default();
    settings.refresh_flow = RefreshFlow::GetTokensFromRefreshToken;
    let folder = std::env::temp_dir().join(format!("mysa-shared-{}", std::process::id()));
    let file = TokenFile::new(&folder, CloudSpec::DEMO_EMAIL);
    let first = cloud.signing_in().settings(settings.clone()).token_file(file.clone());
    let first = first.connect().await.expect("a client");
    // A client may be ready before its file is written.
    let stored = async {
        while file.load().expect("a readable file").is_none() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(300), stored).await.expect("a stored session");
    let second = cloud.builder().settings(settings).token_file(file);
    let second = second.connect().await.expect("a client without a password");
    becomes_live(&first).await;
    becomes_live(&second).await;
    for _ in 0..10 {
        cloud.server.with_cloud(|cloud, now| cloud.act(now, Incident::ExpireTokens));
        let both = tokio::join!(first.request(rest::devices()), second.request(rest::devices()));
        assert!(both.0.is_ok() && both.1.is_ok(), "{both:?}");
    }
    assert!(cloud.server.with_cloud(|cloud, _| cloud.counters().refreshes) >= 10);
    for client in [&first, &second] {
        assert_ne!(client.service().level, Level::SignInNeeded, "{}", client.service());
        check_that_presses_arrive(&cloud, client, 17.5).await;
        check_that_presses_arrive(&cloud, client, 18.5).await;
    }
    assert_eq!(cloud.server.with_cloud(|cloud, _| cloud.counters().sign_ins), 1);
    first.shutdown().await;
    second.shutdown().await;
    std::fs::remove_dir_all(folder).expect("the folder is not in use");
}

#[tokio::test]
async fn a_requested_code_is_answered_through_the_client() {
    let mut spec = CloudSpec::demo();
    spec.accounts[0].challenges = vec![ChallengeSpec::Sms("123456".into())];
    let cloud = Cloud::start(spec).await;
    let asked = cloud.signing_in().connect().await;
    let Err(ConnectError::NotReady(NotReady::Challenge(needed), client)) = asked else { panic!("{asked:?}") };
    assert_eq!((needed.kind, needed.again), (ChallengeKind::SmsMfa, false));

    client.answer_challenge("000000").await.expect("the client keeps running");
    let asked = client.ready().await;
    assert!(matches!(&asked, Err(NotReady::Challenge(needed)) if needed.again), "{asked:?}");
    client.answer_challenge("123456").await.expect("the client keeps running");
    client.ready().await.expect("signed in");
    assert_eq!(client.devices().len(), 5);
    check_everything_works(&cloud, &client).await;
}
