use super::*;

/// What libpcap writes of one frame.
fn dump_of_frame(frame: &[u8]) -> Vec<u8> {
    let length = u32::try_from(frame.len()).unwrap().to_ne_bytes();
    [&[0; 8][..], &length, &length, frame].concat()
}

#[test]
fn frames_are_read_one_by_one_and_what_is_cut_is_left_out() {
    let (one, two) = (dump_of_frame(&[1; 60]), dump_of_frame(&[2; 9000]));
    let dump = [&[0; FILE_HEAD][..], &one, &two, &one[..30]].concat();
    let lengths: Vec<usize> = frames_in_dump(&dump).map(<[u8]>::len).collect();
    assert_eq!(lengths, [60, 9000]);
    assert_eq!(frames_in_dump(&[]).count(), 0);
}

#[test]
fn a_tag_names_its_vlan_whatever_its_priority() {
    let frame = |tail: &[u8]| [&[0; 12][..], tail].concat();
    assert_eq!(vlan_of(&frame(&[0x81, 0, 0xe0, 20, 8, 0])), Some(20));
    assert_eq!(vlan_of(&frame(&[0x81, 0, 0xf, 0xa0, 8, 0])), Some(4000));
    assert_eq!(vlan_of(&frame(&[8, 0, 0x45, 0])), None);
    assert_eq!(vlan_of(&[]), None);
}
