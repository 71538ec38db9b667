//! A client while another process holds the lock of its file.

use std::sync::Mutex;
use std::time::Duration;

use mysa_sim::CloudSpec;
use mysa_tokio::TokenFile;
use tokio::sync::mpsc;

use crate::harness::{Cloud, becomes_live};

/// The runtime has one thread, which a write that waits must leave to the tasks.
#[tokio::test]
async fn a_client_that_waits_for_the_lock_of_its_file_becomes_live() {
    let cloud = Cloud::start(CloudSpec::demo()).await;
    let folder = std::env::temp_dir().join(format!("mysa-locked-{}", std::process::id()));
    let (waits, mut waiting) = mpsc::unbounded_channel();
    let (release, released) = std::sync::mpsc::channel::<()>();
    let released = Mutex::new(released);
    let file = TokenFile::new(&folder, CloudSpec::DEMO_EMAIL).on_wait(move |lock| {
        let _ = waits.send(lock.to_owned());
        // The time limit of the lock does not matter, however slow the machine is.
        let released = released.lock().expect("one writer");
        let _ = released.recv_timeout(Duration::from_secs(300));
    });
    std::fs::create_dir_all(&folder).expect("a folder");
    let path = file.path().with_extension("lock");
    let held = std::fs::File::create(&path).expect("a lock file");
    held.lock().expect("a free lock");
    let client = cloud.signing_in().token_file(file.clone()).start().expect("a client");
    let waited = tokio::time::timeout(Duration::from_secs(300), waiting.recv()).await;
    assert_eq!(waited.ok().flatten(), Some(path));
    client.ready().await.expect("a session");
    becomes_live(&client).await;
    assert!(file.load().expect("no file").is_none(), "the write still waits");
    drop((held, release));
    client.shutdown().await;
    assert!(client.store_failure().is_none(), "{:?}", client.store_failure());
    assert!(file.load().expect("a readable file").is_some());
    std::fs::remove_dir_all(folder).expect("the folder is not in use");
}
