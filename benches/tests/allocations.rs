//! Allocations of the hot paths in the steady state.

use allocation_counter::measure;
use mysa_benches::pipeline::{Frames, ReferencePipeline, SessionPipeline};

fn allocations_of_a_thousand(acknowledged: bool, mut handle: impl FnMut(&[u8])) -> u64 {
    let mut frames = Frames::new(acknowledged);
    for _ in 0..1_000 {
        handle(frames.next_frame());
    }
    measure(|| (0..1_000).for_each(|_| handle(frames.next_frame()))).count_total
}

#[test]
fn a_status_is_processed_without_an_allocation() {
    let mut ours = SessionPipeline::new();
    assert_eq!(allocations_of_a_thousand(false, |frame| assert_eq!(ours.handle(frame).events, 1)), 0);
}

#[test]
fn a_status_with_qos_1_is_processed_without_an_allocation() {
    let mut ours = SessionPipeline::new();
    assert_eq!(allocations_of_a_thousand(true, |frame| assert_eq!(ours.handle(frame).sent, 4)), 0);
}

#[test]
fn the_reference_allocates_so_the_counter_works() {
    let mut reference = ReferencePipeline::default();
    let count = allocations_of_a_thousand(false, |frame| assert_eq!(reference.handle(frame).events, 1));
    assert!(count > 10_000, "{count}");
}
