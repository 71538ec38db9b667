//! Counts allocations: none to decode, none to encode into a buffer with enough capacity, few and small ones
//! for partial packets.

use mysa_mqtt_codec::{DecodeError, Delivery, PacketId, Publish, Stream, Topic, decode};

#[test]
fn decoding_and_encoding_into_a_used_buffer_do_not_allocate() {
    let topic = Topic::new("/v1/dev/a0b1c2d3e4f5/out").unwrap();
    let publish = Publish::new(topic, &[b'x'; 180], Delivery::AtLeastOnce(PacketId::MIN));
    let mut wire = Vec::new();
    publish.encode(&mut wire).unwrap();
    let mut stream = Stream::new(4_096);
    let used = allocated(|| {
        for _ in 0..100 {
            wire.clear();
            publish.encode(&mut wire).unwrap();
            assert_eq!(
                decode(&mut &wire[..], 4_096).unwrap().is_some(),
                stream.next(&mut &wire[..]).unwrap().is_some()
            );
        }
    });
    assert_eq!(used, 0);
    assert_ne!(allocated(|| drop(vec![0_u8; 64])), 0, "the counter must work");
}

#[test]
fn a_stream_in_pieces_allocates_only_until_its_longest_packet_fits() {
    let topic = Topic::new("/v1/dev/a0b1c2d3e4f5/out").unwrap();
    let mut wire = Vec::new();
    for size in [180, 0, 126, 1_000] {
        Publish::new(topic, &vec![b'x'; size], Delivery::AtLeastOnce(PacketId::MIN))
            .encode(&mut wire)
            .unwrap();
    }
    let wire = wire.repeat(10);
    let mut stream = Stream::new(4_096);
    let mut read = |size| {
        for mut piece in wire.chunks(size) {
            while stream.next(&mut piece).unwrap().is_some() {}
        }
    };
    read(7);
    for size in 1..=300 {
        assert_eq!(allocated(|| read(size)), 0, "in pieces of {size}");
    }
}

#[test]
fn an_announced_length_takes_no_memory_before_its_bytes_arrive() {
    let mut stream = Stream::new(u32::MAX);
    let used = allocated(|| {
        assert_eq!(stream.next(&mut &[0x30, 0xff, 0xff, 0xff, 0x7f][..]), Ok(None));
    });
    assert!(used <= 16, "{used}");
    let used = allocated(|| {
        for _ in 0..1_000 {
            assert_eq!(stream.next(&mut &[b'a'][..]), Ok(None));
        }
    });
    // The sum of all allocations of a doubling vector is below four times its final capacity.
    assert!(used <= 4 * 1_024, "{used}");
    let mut limited = Stream::new(4_096);
    let used = allocated(|| {
        assert_eq!(limited.next(&mut &[0x30, 0xff, 0xff, 0xff, 0x7f][..]), Err(DecodeError::OverLimit));
    });
    assert_eq!(used, 0);
}

/// Bytes that this thread allocates during `run`. Each growth of a buffer counts in full.
fn allocated(run: impl FnOnce()) -> usize {
    allocation_counter::measure(run).bytes_total as usize
}
