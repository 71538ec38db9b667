//! The client side of a sign-in: `A`, the shared key and the signature of the claim, as computed once per sign-in.
//! Cognito's answers are those of a worked example.

use aws_cognito_srp::{SrpClient, User};
use mysa_benches::Comparison;
use mysa_cognito::server::Verifier;
use mysa_cognito::srp::Ephemeral;
use mysa_cognito::timestamp;

const POOL: &str = "us-east-1_GUFWfhI7g";
const NAME: &str = "GUFWfhI7g";
const USER: &str = "11111111-1111-4111-8111-111111111111";
const PASSWORD: &str = "Correct-Horse-1";
const SALT: &str = "5a7f23868533cad110961dec631814b2";
const BLOCK: &str =
    "PDmjYk56388nml4WKumBUOBjXYfXV8DTM0O5h/ktlYr159HF3+Ibz/g3ke3mHyj3mClHn3x2sEAozZomRuSwVT8p";

fn main() {
    let verifier = Verifier::new(NAME, USER, PASSWORD, SALT).expect("a verifier");
    let theirs = Ephemeral::new(&[0xa7; 32]).expect("an exponent").public_hex();
    let b = verifier.challenge(&theirs, &[0xc8; 32]).expect("a challenge").public_hex();
    let ephemeral = || Ephemeral::new(&[0xe7; 32]).expect("an exponent");
    let ready = ephemeral();
    let claim = |ephemeral: &Ephemeral| {
        let key = ephemeral.claim_key(NAME, USER, PASSWORD, SALT, &b).expect("a key");
        key.sign(NAME, USER, BLOCK, &timestamp(1_767_323_045)).expect("a signature")
    };
    let whole = Comparison::new("SRP sign-in, client side", "sign-in")
        .entry("mysa-cognito", 1, || {
            let ephemeral = ephemeral();
            (ephemeral.public_hex(), claim(&ephemeral))
        })
        .entry("aws-cognito-srp", 1, || {
            let client = SrpClient::new(User::new(POOL, USER, PASSWORD), "client", None);
            (client.get_auth_parameters(), client.verify(BLOCK, USER, SALT, &b).expect("a claim"))
        })
        .run();
    let parts = Comparison::new("the two halves of a sign-in", "call")
        .entry("A", 1, ephemeral)
        .entry("claim", 1, || claim(&ready))
        .run();
    println!("{whole}{parts}");
}
