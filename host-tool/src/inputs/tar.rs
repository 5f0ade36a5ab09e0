//! Headers of tar archives, as far as the operator's files are looked into.

/// The unit that tar counts in.
pub const BLOCK: usize = 512;

/// The name of the file behind a header, without `./`.
pub fn entry_name(header: &[u8; BLOCK]) -> &[u8] {
    let name = header[..100].split(|byte| *byte == 0).next();
    let name = name.unwrap_or_default();
    name.strip_prefix(b"./").unwrap_or(name)
}

/// The size of that file in bytes: octal digits, or binary behind a first byte of 0x80; none: neither.
pub fn entry_size(header: &[u8; BLOCK]) -> Option<u64> {
    let field = &header[124..136];
    if field[0] == 0x80 {
        return Some(u64::from_be_bytes(field[4..].try_into().ok()?));
    }
    let digits = std::str::from_utf8(field).ok()?;
    let digits = digits.trim_matches(|c: char| c == '\0' || c == ' ');
    u64::from_str_radix(digits, 8).ok()
}

/// What a file of this size takes in the archive: whole blocks.
pub fn padded(size: u64) -> Option<u64> {
    size.checked_next_multiple_of(BLOCK as u64)
}
