//! Corpora as they are committed: one Unix `ar` archive for each target.

/// The inputs in an archive, in order, each with its name.
///
/// # Errors
///
/// A description of what makes `archive` unreadable, with the offset in bytes. Archives whose names are longer than 15
/// bytes are not supported: `fuzz/pack` makes shorter ones.
pub fn inputs(archive: &[u8]) -> Result<Vec<(&str, &[u8])>, String> {
    let mut rest = archive.strip_prefix(b"!<arch>\n").ok_or("not an ar archive: it has no magic number")?;
    let mut inputs = Vec::new();
    while !rest.is_empty() {
        let input = input(&mut rest);
        inputs.push(input.ok_or_else(|| format!("damaged at byte {}", archive.len() - rest.len()))?);
    }
    Ok(inputs)
}

/// A header of 60 bytes (name, date, owner, group, mode, size, mark), the content, and one byte to make it even.
fn input<'a>(rest: &mut &'a [u8]) -> Option<(&'a str, &'a [u8])> {
    let (header, body) = rest.split_at_checked(60)?;
    let header = str::from_utf8(header).ok().filter(|header| header.ends_with("`\n"))?;
    let name = header.get(..16)?.trim_end().strip_suffix('/').filter(|name| !name.is_empty())?;
    let (content, after) = body.split_at_checked(header.get(48..58)?.trim_end().parse().ok()?)?;
    *rest = if content.len() % 2 == 0 { after } else { after.strip_prefix(b"\n")? };
    Some((name, content))
}

#[cfg(test)]
pub(crate) fn input_named<'a>(archive: &'a [u8], wanted: &str) -> &'a [u8] {
    let found = inputs(archive).unwrap().into_iter().find(|(name, _)| *name == wanted);
    found.unwrap_or_else(|| panic!("no input {wanted}")).1
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `printf abc >a; : >seed-001; ar rcDS t.ar a seed-001`
    const ARCHIVE: &[u8] = b"!<arch>\n\
        a/              0           0     0     644     3         `\nabc\n\
        seed-001/       0           0     0     644     0         `\n";

    #[test]
    fn an_archive_that_ar_wrote_is_read() {
        assert_eq!(inputs(ARCHIVE), Ok(vec![("a", &b"abc"[..]), ("seed-001", b"")]));
        assert_eq!(inputs(b"!<arch>\n"), Ok(vec![]));
    }

    #[test]
    fn a_damaged_archive_is_an_error() {
        for len in (0..ARCHIVE.len()).filter(|len| ![8, 72].contains(len)) {
            assert!(inputs(&ARCHIVE[..len]).is_err(), "cut at {len}");
        }
        let long_name =
            ARCHIVE.iter().map(|byte| if *byte == b'/' { b'x' } else { *byte }).collect::<Vec<_>>();
        assert_eq!(inputs(&long_name), Err("damaged at byte 8".to_owned()));
    }
}
