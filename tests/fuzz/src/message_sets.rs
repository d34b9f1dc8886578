//! What a producer sends: refused, or stored with dense offsets and otherwise as it was.

use std::path::Path;

use bytes::BytesMut;
use gregor::message::Codec;
use gregor::message::set::AssignedSet;
use gregor::message::set::ProducedSet;
use gregor::message::stored::check_stored;
use gregor::message::wrapper::deep_entries;

use super::fixtures;
use super::input::Input;
use super::messages::Pair;
use super::messages::UNFOLDED;
use super::messages::bounds;
use super::messages::limits;
use super::messages::make_sound;
use super::messages::memory;
use super::messages::pair;
use super::within;

pub fn holds(input: &[u8]) {
    let mut input = Input(input);
    let choice = input.byte();
    let mut set = BytesMut::from(input.0);
    // Mutations hardly find a right checksum.
    if choice & 1 == 0 {
        make_sound(&mut set);
    }
    let first_base = if choice & 2 == 0 {
        0
    } else {
        i64::MAX - i64::from(choice)
    };
    let received = set.to_vec();
    let limit = memory(received.len());
    let Ok(checked) = within(limit, || ProducedSet::new(set).check(&limits())) else {
        // What producers may not send is not for consumers, either; but they must survive it.
        let _ = within(limit, || deep_entries(&received, UNFOLDED));
        return;
    };
    let sent = within(limit, || deep_entries(&received, UNFOLDED)).unwrap();
    assert_eq!(checked.message_count(), sent.len() as u64);
    assert_eq!(checked.received_bytes(), received.len());
    assert_eq!(checked.is_empty(), bounds(&received).is_empty());
    let sent: Vec<Pair> = sent.into_iter().map(|(_, message)| pair(message)).collect();

    let Ok(assigned) = within(limit, || checked.assign(first_base, &limits())) else {
        return;
    };
    is_stored_as_sent(&assigned, first_base, &sent);
    let Ok(again) = within(limit, || assigned.reassign(1000, &limits())) else {
        return;
    };
    is_stored_as_sent(&again, 1000, &sent);
    // What was stored can be sent on.
    let checked = ProducedSet::new(again.bytes().into()).check(&limits()).unwrap();
    assert_eq!(checked.message_count(), sent.len() as u64);
    let same = checked.assign(1000, &limits()).unwrap();
    assert_eq!(same.bytes(), again.bytes());
}

fn is_stored_as_sent(assigned: &AssignedSet, base_offset: i64, sent: &[Pair]) {
    let count = i64::try_from(sent.len()).unwrap();
    assert_eq!(
        (assigned.base_offset(), assigned.end_offset()),
        (base_offset, base_offset + count)
    );
    let stored = deep_entries(assigned.bytes(), UNFOLDED).unwrap();
    let offsets = stored.iter().map(|(offset, _)| *offset);
    assert!(offsets.eq(base_offset..base_offset + count), "offsets are dense");
    let stored: Vec<Pair> = stored.into_iter().map(|(_, message)| pair(message)).collect();
    assert_eq!(stored, sent);

    let mut end = 0;
    let mut last_offset = base_offset - 1;
    for (start, stop) in bounds(assigned.bytes()) {
        let entry = check_stored(&assigned.bytes()[start..], limits().max_message_bytes, true).unwrap();
        assert_eq!((entry.len, entry.first_offset), (stop - start, last_offset + 1));
        assert!(entry.codec != Codec::None || entry.first_offset == entry.last_offset);
        last_offset = entry.last_offset;
        end = stop;
    }
    assert_eq!(end, assigned.bytes().len(), "there are whole entries only");
    assert_eq!(last_offset, base_offset + count - 1);
}

pub fn seeds(folder: &Path) -> Vec<Vec<u8>> {
    let sets = fixtures::message_sets(folder).into_iter();
    let sets = sets.chain(fixtures::segments(folder));
    sets.filter(|set| set.len() < 10_000)
        .map(|set| [vec![1], set].concat())
        .collect()
}
