//! Columns that line up.

use crate::output::record::printable;

/// Rows under their heads, cut to `width` columns. Without heads, pass none.
pub(crate) fn render(heads: &[&str], rows: &[Vec<String>], width: usize) -> Vec<String> {
    let columns = heads.len();
    let cells = |row: &[String]| row.iter().map(|cell| printable(cell)).collect::<Vec<_>>();
    let mut lines: Vec<Vec<String>> = vec![heads.iter().map(|&head| head.to_owned()).collect()];
    lines.extend(rows.iter().map(|row| cells(row)));
    let widths: Vec<usize> = (0..columns)
        .map(|at| {
            lines.iter().filter_map(|line| line.get(at)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    lines
        .iter()
        .map(|line| {
            let mut text = String::new();
            for (at, (cell, width)) in line.iter().zip(&widths).enumerate() {
                let gap = if at == 0 { "" } else { "  " };
                text.push_str(&format!("{gap}{cell:width$}"));
            }
            cut(text.trim_end(), width)
        })
        .collect()
}

/// At most `width` characters; what is cut off shows.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(width.saturating_sub(1)).collect();
    short.push('…');
    short
}

/// The same, with the columns of `order` left out one after the other until what is left fits.
pub(crate) fn fit(heads: &[&str], rows: &[Vec<String>], width: usize, order: &[usize]) -> Vec<String> {
    let mut lines = Vec::new();
    for left_out in 0..=order.len() {
        let kept = |at: &usize| order.get(..left_out).is_none_or(|gone| !gone.contains(at));
        let heads: Vec<&str> =
            heads.iter().enumerate().filter(|(at, _)| kept(at)).map(|(_, head)| *head).collect();
        let row = |row: &Vec<String>| {
            row.iter().enumerate().filter(|(at, _)| kept(at)).map(|(_, cell)| cell.clone()).collect()
        };
        lines = render(&heads, &rows.iter().map(row).collect::<Vec<_>>(), usize::MAX);
        if lines.iter().all(|line| line.chars().count() <= width) {
            break;
        }
    }
    lines.iter().map(|line| cut(line, width)).collect()
}

/// Words in lines of at most `width` characters, if the words are not longer than that themselves.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
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
    fn what_does_not_fit_is_left_out_in_its_order() {
        let rows = [vec!["Hall".to_owned(), "44 %".into(), "live".into()]];
        let heads = ["NAME", "HUM", "LINK"];
        assert_eq!(fit(&heads, &rows, 16, &[1]), ["NAME  HUM   LINK", "Hall  44 %  live"]);
        assert_eq!(fit(&heads, &rows, 15, &[1]), ["NAME  LINK", "Hall  live"]);
        assert_eq!(fit(&heads, &rows, 7, &[1]), ["NAME  …", "Hall  …"]);
    }

    #[test]
    fn words_go_to_the_next_line_whole() {
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
}
