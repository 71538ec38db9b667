//! A slice of the random campaign; `simulate` runs the whole.

use mysa_world::campaign;

#[test]
fn random_homes_live_through_random_trouble() {
    for seed in 1..=16 {
        if let Err(failure) = campaign(seed, 6) {
            panic!("{failure}");
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in [3, 17] {
        let (one, other) = (campaign(seed, 4).unwrap(), campaign(seed, 4).unwrap());
        assert_eq!(one, other);
    }
    assert_ne!(campaign(3, 4).unwrap().digest, campaign(17, 4).unwrap().digest);
}
