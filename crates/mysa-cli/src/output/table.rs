//! Aligned columns, measured in terminal columns: a wide character such as 暖 takes two, a combining accent none.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use crate::output::record::printable;

/// Width down to which a column is narrowed so that the others can be seen.
const NARROW: usize = 16;
/// Width to which names are cut before columns are dropped.
const NAME: usize = 24;

/// Formats rows under their heads, each line cut to `width` columns. Where the lines are too wide, the widest columns are
/// narrowed first. Cells are escaped.
pub(crate) fn render(heads: &[&str], rows: &[Vec<String>], width: usize) -> Vec<String> {
    let columns = heads.len();
    let cells = |row: &[String]| row.iter().map(|cell| printable(cell)).collect::<Vec<_>>();
    let mut lines: Vec<Vec<String>> = vec![heads.iter().map(|&head| head.to_owned()).collect()];
    lines.extend(rows.iter().map(|row| cells(row)));
    let mut widths: Vec<usize> = (0..columns)
        .map(|at| lines.iter().filter_map(|line| line.get(at)).map(|cell| cell.width()).max().unwrap_or(0))
        .collect();
    let gaps = 2 * columns.saturating_sub(1);
    while let Some(excess @ 1..) = (widths.iter().sum::<usize>() + gaps).checked_sub(width)
        && let Some(widest) = widths.iter_mut().max().filter(|widest| **widest > NARROW)
    {
        // Columns of the same width are narrowed together.
        let step = excess.div_ceil(columns).min(*widest - NARROW);
        *widest -= step;
    }
    for line in &mut lines {
        for (cell, width) in line.iter_mut().zip(&widths) {
            *cell = cut(cell, *width);
        }
    }
    lines
        .iter()
        .map(|line| {
            let mut text = String::new();
            for (at, (cell, width)) in line.iter().zip(&widths).enumerate() {
                let gap = if at == 0 { "" } else { "  " };
                text.push_str(gap);
                text.push_str(&pad(cell, *width));
            }
            cut(text.trim_end(), width)
        })
        .collect()
}

/// Appends spaces to a text, up to `width` columns.
pub(crate) fn pad(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(text.width())))
}

/// Cuts a text to at most `width` columns, with an ellipsis if something was cut.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut short = String::new();
    let mut left = width.saturating_sub(1);
    for c in text.chars() {
        let columns = c.width().unwrap_or(0);
        if columns > left {
            break;
        }
        left -= columns;
        short.push(c);
    }
    if width > 0 {
        short.push('…');
    }
    short
}

/// Formats rows like [`render`]. If they do not fit, it shortens the names in the first column, and then drops the columns
/// of `order` one by one.
pub(crate) fn fit(heads: &[&str], rows: &[Vec<String>], width: usize, order: &[usize]) -> Vec<String> {
    let fits = |lines: &[String]| lines.iter().all(|line| line.width() <= width);
    let mut lines = render(heads, rows, usize::MAX);
    if fits(&lines) {
        return lines;
    }
    let mut rows = rows.to_vec();
    for name in rows.iter_mut().filter_map(|row| row.first_mut()) {
        *name = cut(&printable(name), NAME);
    }
    for dropped in 0..=order.len() {
        let is_kept = |at: &usize| order.get(..dropped).is_none_or(|gone| !gone.contains(at));
        let heads: Vec<&str> =
            heads.iter().enumerate().filter(|(at, _)| is_kept(at)).map(|(_, head)| *head).collect();
        let row = |row: &Vec<String>| {
            row.iter().enumerate().filter(|(at, _)| is_kept(at)).map(|(_, cell)| cell.clone()).collect()
        };
        let rows = rows.iter().map(row).collect::<Vec<_>>();
        lines = render(&heads, &rows, usize::MAX);
        if fits(&lines) {
            break;
        }
        lines = render(&heads, &rows, width);
    }
    lines
}

/// Breaks a text into lines of at most `width` columns, at white space only.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.width() + 1 + word.width() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_dropped_in_order() {
        let rows = [vec!["Hall".to_owned(), "44 %".into(), "live".into()]];
        let heads = ["NAME", "HUM", "LINK"];
        assert_eq!(fit(&heads, &rows, 16, &[1]), ["NAME  HUM   LINK", "Hall  44 %  live"]);
        assert_eq!(fit(&heads, &rows, 15, &[1]), ["NAME  LINK", "Hall  live"]);
        assert_eq!(fit(&heads, &rows, 7, &[1]), ["NAME  …", "Hall  …"]);
    }

    #[test]
    fn words_are_not_broken() {
        assert_eq!(wrap("one two  three", 7), ["one two", "three"]);
        assert_eq!(wrap("incomprehensible", 7), ["incomprehensible"]);
    }

    #[test]
    fn columns_line_up_and_long_lines_are_cut() {
        let rows = [vec!["Küche".to_owned(), "20.5 °C".into()], vec!["Bedroom".into(), "\u{1b}[2J".into()]];
        let lines = render(&["NAME", "ROOM"], &rows, 40);
        assert_eq!(lines, ["NAME     ROOM", "Küche    20.5 °C", "Bedroom  \\u{1b}[2J"]);
        assert_eq!(render(&["NAME", "ROOM"], &rows, 10).last().map(String::as_str), Some("Bedroom  …"));
    }

    #[test]
    fn columns_are_measured_as_a_terminal_shows_them() {
        let rows = [
            vec!["暖房".to_owned(), "1".into()],
            vec!["e\u{301}te\u{301}".into(), "2".into()],
            vec!["Hall".into(), "3".into()],
        ];
        assert_eq!(
            render(&["N", "X"], &rows, 40),
            ["N     X", "暖房  1", "e\u{301}te\u{301}   2", "Hall  3"]
        );
        // A character of two columns is not split.
        assert_eq!(cut("暖房機", 4), "暖…");
        assert_eq!(cut("暖房機", 5), "暖房…");
        assert_eq!(cut("暖房機", 6), "暖房機");
        assert_eq!((cut("ab", 0), cut("ab", 1)), (String::new(), "…".into()));
    }

    #[test]
    fn a_long_name_does_not_hide_the_other_columns() {
        let row = |name: &str| vec![name.to_owned(), "20.5 °C".into(), "heat".into(), "live".into()];
        let rows = [row("Hall"), row(&"x".repeat(300)), row(&"👨‍👩‍👧".repeat(40))];
        let heads = ["NAME", "ROOM", "MODE", "LINK"];
        for lines in [render(&heads, &rows, 60), fit(&heads, &rows, 60, &[2])] {
            assert!(lines.iter().all(|line| line.width() <= 60), "{lines:#?}");
            for value in ["20.5 °C", "heat", "live"] {
                assert!(lines[1..].iter().all(|line| line.contains(value)), "{value}: {lines:#?}");
            }
        }
        // All columns are narrow, and the window is narrower.
        for width in 0..40 {
            for lines in [render(&heads, &rows, width), fit(&heads, &rows, width, &[2])] {
                assert!(lines.iter().all(|line| line.width() <= width), "{width}: {lines:#?}");
            }
        }
        let whole = render(&heads, &rows, usize::MAX);
        assert!(whole[2].contains(&"x".repeat(300)), "nothing is cut in a pipe");
    }
}
