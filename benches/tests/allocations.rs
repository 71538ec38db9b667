//! What the hot paths ask of the allocator once they run.

use allocation_counter::measure;
use mysa_benches::way::{Home, Ours, Usual};

fn allocations_of_a_thousand(acknowledged: bool, mut take: impl FnMut(&[u8])) -> u64 {
    let mut home = Home::new(acknowledged);
    for _ in 0..1_000 {
        take(home.speak());
    }
    measure(|| (0..1_000).for_each(|_| take(home.speak()))).count_total
}

#[test]
fn a_status_goes_all_the_way_without_an_allocation() {
    let mut ours = Ours::new();
    assert_eq!(allocations_of_a_thousand(false, |frame| assert_eq!(ours.take(frame).news, 1)), 0);
}

#[test]
fn neither_does_one_that_is_acknowledged_allocate() {
    let mut ours = Ours::new();
    assert_eq!(allocations_of_a_thousand(true, |frame| assert_eq!(ours.take(frame).sent, 4)), 0);
}

#[test]
fn the_usual_way_does_allocate_or_nothing_is_counted() {
    let mut usual = Usual::default();
    let count = allocations_of_a_thousand(false, |frame| assert_eq!(usual.take(frame).news, 1));
    assert!(count > 10_000, "{count}");
}
