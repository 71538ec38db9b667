//! Bar charts for the terminal and as SVG.

use std::fmt::Write as _;

use unicode_width::UnicodeWidthStr as _;

use crate::output::record::printable;
use crate::output::table::pad;

/// One bar: its label, and its value or `None` if nothing was recorded.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Bar {
    pub(crate) label: String,
    pub(crate) value: Option<f64>,
}

/// Horizontal bars with their values, one per line, for a terminal of `width` columns.
pub(crate) fn terminal(bars: &[Bar], unit: &str, width: usize) -> String {
    let label_width = bars.iter().map(|bar| bar.label.width()).max().unwrap_or(0);
    let most = bars.iter().filter_map(|bar| bar.value).fold(0.0, f64::max);
    let room = width.saturating_sub(label_width + unit.len() + 12).clamp(10, 100);
    let mut out = String::new();
    for bar in bars {
        let _ = match bar.value {
            Some(value) => {
                let blocks = blocks(if most > 0.0 { value / most } else { 0.0 }, room);
                writeln!(out, "{}  {blocks} {value:.2} {unit}", pad(&bar.label, label_width))
            }
            None => writeln!(out, "{}  (nothing recorded)", pad(&bar.label, label_width)),
        };
    }
    out
}

/// Formats `fraction` of `columns`, to an eighth of a column.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to the columns of a terminal"
)]
fn blocks(fraction: f64, columns: usize) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (fraction.clamp(0.0, 1.0) * columns as f64 * 8.0).round() as usize;
    let mut bar = "█".repeat(eighths / 8);
    bar.push_str(EIGHTHS[eighths % 8]);
    bar
}

/// Vertical bars as a stand-alone SVG document.
pub(crate) fn svg(title: &str, bars: &[Bar], unit: &str) -> String {
    let most = nice_ceiling(bars.iter().filter_map(|bar| bar.value).fold(0.0, f64::max));
    let width = LEFT + STEP * bars.len().max(4) as f64 + 20.0;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n<text x=\"{LEFT}\" y=\"22\" font-size=\"15\">{}</text>\n",
        TOP + HEIGHT + 70.0,
        escape(title)
    );
    for quarter in 0..=4 {
        let value = most * f64::from(quarter) / 4.0;
        let y = TOP + HEIGHT * (1.0 - f64::from(quarter) / 4.0);
        let _ = writeln!(
            out,
            "<line x1=\"{LEFT}\" x2=\"{width}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#ddd\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{value} {unit}</text>",
            LEFT - 6.0,
            y + 4.0
        );
    }
    for (number, bar) in bars.iter().enumerate() {
        let x = LEFT + STEP * number as f64 + 4.0;
        let middle = x + STEP / 2.0 - 4.0;
        if let Some(value) = bar.value {
            let height = HEIGHT * value / most;
            let _ = writeln!(
                out,
                "<rect x=\"{x:.1}\" y=\"{:.1}\" width=\"{}\" height=\"{height:.1}\" fill=\"#d95f02\">\
                 <title>{}: {value:.2} {unit}</title></rect>",
                TOP + HEIGHT - height,
                STEP - 8.0,
                escape(&bar.label)
            );
        }
        let y = TOP + HEIGHT + 12.0;
        let _ = writeln!(
            out,
            "<text x=\"{middle:.1}\" y=\"{y:.1}\" text-anchor=\"end\" transform=\"rotate(-60 {middle:.1} {y:.1})\">{}</text>",
            escape(&bar.label)
        );
    }
    out.push_str("</svg>\n");
    out
}

const STEP: f64 = 28.0;
const HEIGHT: f64 = 240.0;
const LEFT: f64 = 70.0;
const TOP: f64 = 40.0;

/// Returns the next of 1, 2, 4, 8, 10, 20…, so that the grid lines have round values.
fn nice_ceiling(value: f64) -> f64 {
    let mut scale = 0.1;
    while scale < 1e9 {
        for step in [1.0, 2.0, 4.0, 8.0] {
            if value <= scale * step {
                return scale * step;
            }
        }
        scale *= 10.0;
    }
    value
}

/// Escapes text for an SVG document. XML does not allow control characters, not even escaped.
fn escape(text: &str) -> String {
    printable(text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bars() -> Vec<Bar> {
        [("Mon", Some(4.0)), ("Tue", Some(2.0)), ("Wed", None), ("Thu", Some(0.0))]
            .map(|(label, value)| Bar { label: label.into(), value })
            .to_vec()
    }

    #[test]
    fn bars_are_proportional_to_their_values() {
        let lines: Vec<String> = terminal(&bars(), "kWh", 60).lines().map(str::to_owned).collect();
        let blocks = |line: &str| line.chars().filter(|&c| c == '█').count();
        assert_eq!(blocks(&lines[0]), 2 * blocks(&lines[1]));
        assert!(lines[0].chars().count() <= 60, "{}", lines[0]);
        assert!(lines[2].contains("nothing recorded"));
        assert_eq!(blocks(&lines[3]), 0);
    }

    #[test]
    fn an_svg_has_a_bar_for_each_value_and_escapes_names() {
        let drawing = svg("A & <b>", &bars(), "kWh");
        assert!(drawing.contains("A &amp; &lt;b&gt;"));
        assert!(!svg("a\u{1b}\u{202e}", &bars(), "kWh").contains(['\u{1b}', '\u{202e}']));
        assert_eq!(drawing.matches("<title>").count(), 3);
        assert!(!drawing.contains("NaN") && !svg("", &[], "kWh").contains("NaN"));
    }

    #[test]
    fn charts_end_at_round_numbers() {
        for (value, ceiling) in [(0.0, 0.1), (0.3, 0.4), (1.0, 1.0), (7.3, 8.0), (8.1, 10.0), (130.0, 200.0)]
        {
            assert!((nice_ceiling(value) - ceiling).abs() < 1e-9, "{value}");
        }
    }
}
