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

/// Values of one thermostat, one for each bar; `None` if nothing was recorded.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) values: Vec<Option<f64>>,
}

/// Vertical bars as a stand-alone SVG document. The bars of several series are stacked, with a legend. Colours are fixed,
/// background included, so that the chart is readable on a dark page too.
pub(crate) fn svg(title: &str, labels: &[String], series: &[Series], unit: &str) -> String {
    let total = |number: usize| -> f64 { series.iter().filter_map(|one| value(one, number)).sum() };
    let most = nice_ceiling((0..labels.len()).map(total).fold(0.0, f64::max));
    let amounts =
        [0.0, 0.25, 0.5, 0.75, 1.0].map(|part| format!("{} {unit}", (most * part * 1e6).round() / 1e6));
    // The labels of the scale stand to the left of the bars, and so does a part of the first label below them.
    let scale = amounts.iter().map(|amount| columns(amount)).fold(0.0, f64::max) * FONT * 0.6 + 12.0;
    let slant = labels.first().map_or(0.0, |label| columns(label)) * FONT * 0.6 * 0.5;
    let left = scale.max(slant).max(MIN_LEFT).ceil();
    let width = (left + STEP * labels.len() as f64 + RIGHT).max(MIN_WIDTH);
    let legend = if series.len() > 1 { LEGEND_LINE * series.len() as f64 } else { 0.0 };
    let top = TITLE + legend + 14.0;
    // Labels are turned by 60 degrees.
    let bottom = labels.iter().map(|label| columns(label)).fold(0.0, f64::max) * FONT * 0.6 * 0.87 + 24.0;
    let height = top + HEIGHT + bottom;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height:.0}\" viewBox=\"0 0 {width} {height:.0}\" \
         font-family=\"sans-serif\" font-size=\"{FONT}\" fill=\"#222\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n<text x=\"16\" y=\"24\" font-size=\"15\">{}</text>\n",
        escape(&cut(&printable(title), (width - 32.0) / (15.0 * 0.6)))
    );
    if series.len() > 1 {
        for (number, one) in series.iter().enumerate() {
            let y = TITLE + LEGEND_LINE * number as f64;
            let _ = writeln!(
                out,
                "<rect x=\"16\" y=\"{y:.1}\" width=\"11\" height=\"11\" fill=\"{}\"/>\
                 <text x=\"33\" y=\"{:.1}\">{}</text>",
                colour(number),
                y + 10.0,
                escape(&cut(&printable(&one.name), (width - 49.0) / (FONT * 0.6)))
            );
        }
    }
    for (quarter, amount) in amounts.iter().enumerate() {
        let y = top + HEIGHT * (1.0 - quarter as f64 / 4.0);
        let _ = writeln!(
            out,
            "<line x1=\"{left}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#ddd\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{amount}</text>",
            width - RIGHT,
            left - 6.0,
            y + 4.0,
        );
    }
    for (number, label) in labels.iter().enumerate() {
        let x = left + STEP * number as f64 + 4.0;
        let mut below = 0.0;
        for (at, one) in series.iter().enumerate() {
            let Some(value) = value(one, number) else { continue };
            let tall = HEIGHT * value / most;
            below += tall;
            let _ = writeln!(
                out,
                "<rect x=\"{x:.1}\" y=\"{:.1}\" width=\"{}\" height=\"{tall:.1}\" fill=\"{}\">\
                 <title>{}, {}: {value:.2} {unit}</title></rect>",
                top + HEIGHT - below,
                STEP - 8.0,
                colour(at),
                escape(&printable(&one.name)),
                escape(label)
            );
        }
        let (middle, y) = (x + STEP / 2.0 - 4.0, top + HEIGHT + 12.0);
        let _ = writeln!(
            out,
            "<text x=\"{middle:.1}\" y=\"{y:.1}\" text-anchor=\"end\" transform=\"rotate(-60 {middle:.1} {y:.1})\">{}</text>",
            escape(label)
        );
    }
    out.push_str("</svg>\n");
    out
}

const FONT: f64 = 11.0;
const STEP: f64 = 28.0;
const HEIGHT: f64 = 240.0;
const MIN_LEFT: f64 = 76.0;
const RIGHT: f64 = 16.0;
const MIN_WIDTH: f64 = 480.0;
/// Height of the title, and of a line of the legend.
const TITLE: f64 = 38.0;
const LEGEND_LINE: f64 = 17.0;

/// Value of a bar, if it can be drawn.
fn value(series: &Series, number: usize) -> Option<f64> {
    series.values.get(number).copied().flatten().filter(|value| value.is_finite() && *value >= 0.0)
}

/// Colour of a series. The first eight can be told apart by colour-blind people (Okabe and Ito).
fn colour(number: usize) -> String {
    const FIRST: [&str; 8] =
        ["#d55e00", "#0072b2", "#009e73", "#e69f00", "#cc79a7", "#56b4e9", "#b8ad00", "#555555"];
    // The golden angle keeps neighbours apart.
    FIRST.get(number).map_or_else(|| format!("hsl({},55%,45%)", number * 137 % 360), |&first| first.into())
}

/// Width of a text in columns of a terminal, which is near enough to that of a font without serifs.
fn columns(text: &str) -> f64 {
    text.width() as f64
}

/// Cuts a text to a width in columns.
fn cut(text: &str, room: f64) -> String {
    if columns(text) <= room {
        return text.to_owned();
    }
    let mut kept = String::new();
    for c in text.chars() {
        if columns(&kept) + 2.0 > room - 1.0 {
            break;
        }
        kept.push(c);
    }
    format!("{}…", kept.trim_end())
}

/// Returns the next value with four round grid lines, at most a quarter above what is needed.
fn nice_ceiling(value: f64) -> f64 {
    if value <= 0.0 {
        return 0.1;
    }
    let mut scale = 0.001;
    while scale < 1e9 {
        for step in [1.0, 1.2, 1.6, 2.0, 2.4, 3.2, 4.0, 4.8, 6.0, 8.0] {
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

    fn series(name: &str) -> Series {
        Series { name: name.into(), values: bars().iter().map(|bar| bar.value).collect() }
    }

    fn labels() -> Vec<String> {
        bars().into_iter().map(|bar| bar.label).collect()
    }

    /// Values of an attribute, in the order of the elements that have it.
    fn numbers(drawing: &str, element: &str, attribute: &str) -> Vec<f64> {
        let (start, attribute) = (format!("<{element} "), format!("{attribute}=\""));
        let starts = drawing.split(&start).skip(1);
        let texts = starts.filter_map(|element| element.split('>').next());
        let values = texts.filter_map(|text| text.split(&attribute).nth(1));
        values.filter_map(|value| value.split('"').next()?.parse().ok()).collect()
    }

    #[test]
    fn an_svg_has_a_bar_for_each_value_and_escapes_names() {
        let drawing = svg("A & <b>", &labels(), &[series("x<y")], "kWh");
        assert!(drawing.contains("A &amp; &lt;b&gt;") && drawing.contains("x&lt;y, Mon: 4.00 kWh"));
        assert!(
            !svg("a\u{1b}\u{202e}", &labels(), &[series("\u{1b}")], "kWh").contains(['\u{1b}', '\u{202e}'])
        );
        assert_eq!(drawing.matches("<title>").count(), 3);
        assert!(!drawing.contains("NaN") && !svg("", &[], &[], "kWh").contains("NaN"));
    }

    #[test]
    fn series_are_stacked_with_a_legend_within_the_picture() {
        let long = "A name that is much longer than the whole chart is wide ".repeat(3);
        let all = [series("Hall"), series(&long), series("Bath")];
        let drawing = svg(&long, &labels(), &all, "kWh");
        assert!(
            drawing.contains(">Hall</text>")
                && drawing.contains(">Bath</text>")
                && drawing.contains("…</text>")
        );
        // Background, legend, then the bars of each day from the bottom up.
        let (tops, heights) = (numbers(&drawing, "rect", " y"), numbers(&drawing, "rect", " height"));
        let (legend, first) = (&tops[..3], &tops[3..6]);
        assert!(legend.is_sorted() && first.is_sorted_by(|a, b| a > b), "{tops:?}");
        let (tall, low) = (heights[heights.len() - 9], first[0] - first[1]);
        assert!((tall - low).abs() < 0.2, "a bar begins where the one below it ends: {tall} {low}");
        let (width, height) = (numbers(&drawing, "svg", "width")[0], numbers(&drawing, "svg", "height")[0]);
        for (at, text) in drawing.split("<text ").skip(1).enumerate() {
            let x = numbers(&format!("<text {text}"), "text", "x")[0];
            let shown = text.split('>').nth(1).and_then(|text| text.split('<').next()).unwrap_or_default();
            let size = if at == 0 { 15.0 } else { FONT };
            let wide = columns(shown) * size * 0.6;
            let (from, to) = if text.contains("end") { (x - wide, x) } else { (x, x + wide) };
            assert!(text.contains("rotate") || (from >= 0.0 && to <= width), "{shown}: {from} to {to}");
        }
        assert!(tops.iter().zip(&heights).all(|(y, tall)| *y >= 0.0 && y + tall <= height));
    }

    #[test]
    fn the_scale_of_the_least_and_of_the_most_energy_fits() {
        let of = |value| Series { name: "Hall".into(), values: vec![Some(value)] };
        for value in [0.0, 0.000_4, 0.018_3, 0.09, 1e3, 7.5e8, 3e12] {
            let drawing = svg("Energy", &["Mon 2026-11-16".into()], &[of(value)], "kWh");
            let scale: Vec<&str> = drawing
                .split("text-anchor=\"end\">")
                .skip(1)
                .filter_map(|text| text.split('<').next())
                .filter(|text| text.ends_with("kWh"))
                .collect();
            let mut different = scale.clone();
            different.dedup();
            assert_eq!((scale.len(), different.len()), (5, 5), "{value}: {scale:?}");
            let ends = numbers(&drawing, "text", "x");
            for (text, end) in scale.iter().zip(&ends[1..]) {
                assert!(columns(text) * FONT * 0.6 <= *end, "{value}: {text} is cut off at {end}");
            }
            assert!(
                numbers(&drawing, "rect", " height").last().is_some_and(|tall| *tall <= HEIGHT),
                "{value}"
            );
        }
    }

    #[test]
    fn charts_end_at_round_numbers() {
        for (value, ceiling) in
            [(0.0, 0.1), (0.0183, 0.02), (0.3, 0.32), (1.0, 1.0), (7.3, 8.0), (8.1, 10.0), (130.0, 160.0)]
        {
            assert!((nice_ceiling(value) - ceiling).abs() < 1e-9, "{value}");
        }
    }
}
