//! Detection error trade-off (DET) curves as a standalone SVG: both error rates on normal-deviate (probit) axes, where
//! normally distributed scores give straight lines (Martin et al., "The DET curve in assessment of detection task
//! performance", 1997).
//!
//! The drawing follows the reader's light or dark setting and needs no script, font file or network.

use std::fmt::Write;

use super::{OperatingPoint, Steps};

/// One line of the drawing.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// Shown in the legend.
    pub label: String,
    /// From [`Steps::roc`], in order.
    pub points: Vec<OperatingPoint>,
    /// Marked on the diagonal and written into the legend.
    pub eer: f64,
}

impl Curve {
    /// The curve of `steps`.
    pub fn new(label: impl Into<String>, steps: &Steps) -> Self {
        Self { label: label.into(), points: steps.roc(), eer: steps.eer() }
    }
}

/// Ends of both axes, as rates.
const AXIS_LOW: f64 = 0.001;
const AXIS_HIGH: f64 = 0.8;
const TICKS: [f64; 11] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8];
/// Plot area within the drawing, in SVG user units.
const LEFT: f64 = 70.0;
const TOP: f64 = 20.0;
const SIDE: f64 = 440.0;
/// Distinguishable with any colour vision, on light and dark alike (Okabe and Ito, 2008, without black and yellow).
const COLOURS: [&str; 6] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00"];

const STYLE: &str = "<style>\
svg{background:#fff;color:#222;font:13px sans-serif}\
.grid{stroke:#ddd}.frame{stroke:currentColor;fill:none}.even{stroke:#999;stroke-dasharray:4 4}\
text{fill:currentColor}.curve{fill:none;stroke-width:2}\
@media(prefers-color-scheme:dark){svg{background:#16181c;color:#ddd}.grid{stroke:#333}}\
</style>";

/// Draws `curves` (colours repeat after six).
pub fn det_svg(title: &str, curves: &[Curve]) -> String {
    let height = TOP + SIDE + 62.0 + 20.0 * curves.len() as f64;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 540 {height:.0}\" role=\"img\">\n<title>{}</title>\n{STYLE}\n",
        escaped(title)
    );
    draw_axes(&mut svg);
    for (index, curve) in curves.iter().enumerate() {
        draw_curve(&mut svg, curve, index);
    }
    svg.push_str("</svg>\n");
    svg
}

fn draw_axes(svg: &mut String) {
    let bottom = TOP + SIDE;
    for rate in TICKS {
        let (x, y) = (x_of(rate), y_of(rate));
        let percent = rate * 100.0;
        let right = LEFT + SIDE;
        line(
            svg,
            format_args!(
                "<path class=\"grid\" d=\"M{x:.1} {TOP:.1}V{bottom:.1}M{LEFT:.1} {y:.1}H{right:.1}\"/>\
                 <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{percent}</text>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{percent}</text>",
                bottom + 18.0,
                LEFT - 8.0,
                y + 4.0
            ),
        );
    }
    let middle = TOP + SIDE / 2.0;
    line(
        svg,
        format_args!(
            "<path class=\"even\" d=\"M{LEFT:.1} {bottom:.1}L{:.1} {TOP:.1}\"/>\
             <rect class=\"frame\" x=\"{LEFT:.1}\" y=\"{TOP:.1}\" width=\"{SIDE:.1}\" height=\"{SIDE:.1}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">spoofs taken for genuine, %</text>\
             <text transform=\"translate(20 {middle:.1}) rotate(-90)\" text-anchor=\"middle\">genuine speech rejected, %</text>",
            LEFT + SIDE,
            LEFT + SIDE / 2.0,
            bottom + 40.0
        ),
    );
}

fn draw_curve(svg: &mut String, curve: &Curve, index: usize) {
    let colour = COLOURS[index % COLOURS.len()];
    let mut path = String::new();
    let mut previous = None;
    for point in &curve.points {
        // Tenths of a unit, so that a million trials still make a small file.
        let at =
            ((x_of(point.false_acceptance_rate) * 10.0).round() as i64, (y_of(point.miss_rate) * 10.0).round() as i64);
        if previous.replace(at) != Some(at) {
            let command = if path.is_empty() { 'M' } else { 'L' };
            line(&mut path, format_args!("{command}{:.1} {:.1}", at.0 as f64 / 10.0, at.1 as f64 / 10.0));
        }
    }
    let path = path.replace('\n', "");
    let legend_y = TOP + SIDE + 62.0 + 20.0 * index as f64;
    line(
        svg,
        format_args!(
            "<path class=\"curve\" stroke=\"{colour}\" d=\"{path}\"/>\
             <circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"4\" fill=\"{colour}\"/>\
             <path class=\"curve\" stroke=\"{colour}\" d=\"M{LEFT:.1} {legend_y:.1}h24\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\">{} (EER {:.1} %)</text>",
            x_of(curve.eer),
            y_of(curve.eer),
            LEFT + 32.0,
            legend_y + 4.0,
            escaped(&curve.label),
            curve.eer * 100.0
        ),
    );
}

fn line(out: &mut String, text: std::fmt::Arguments) {
    writeln!(out, "{text}").expect("a String takes any text");
}

fn x_of(rate: f64) -> f64 {
    LEFT + SIDE * axis_share(rate)
}

fn y_of(rate: f64) -> f64 {
    TOP + SIDE * (1.0 - axis_share(rate))
}

/// Position of a rate along its axis, 0-1; rates beyond the ends lie on them.
fn axis_share(rate: f64) -> f64 {
    let (low, high) = (probit(AXIS_LOW), probit(AXIS_HIGH));
    (probit(rate.clamp(AXIS_LOW, AXIS_HIGH)) - low) / (high - low)
}

/// Inverse of the normal distribution function for 0 < p < 1, to 4.5e-4: Abramowitz and Stegun, 1964, 26.2.23.
fn probit(p: f64) -> f64 {
    if p > 0.5 {
        return -probit(1.0 - p);
    }
    let t = (-2.0 * p.ln()).sqrt();
    let above = 2.515_517 + t * (0.802_853 + t * 0.010_328);
    let below = 1.0 + t * (1.432_788 + t * (0.189_269 + t * 0.001_308));
    above / below - t
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Quantiles of the standard normal distribution; the tolerance is the approximation's own bound.
    #[test]
    fn probit_matches_the_normal_quantiles() {
        for (p, expected) in [(0.5, 0.0), (0.025, -1.959_964), (0.975, 1.959_964), (0.001, -3.090_232)] {
            assert!((probit(p) - expected).abs() < 4.5e-4, "{p}: {}", probit(p));
        }
    }

    #[test]
    fn drawing_is_closed_and_escapes_labels() {
        let points = vec![
            OperatingPoint { miss_rate: 0.0, false_acceptance_rate: 1.0 },
            OperatingPoint { miss_rate: 0.1, false_acceptance_rate: 0.1 },
            OperatingPoint { miss_rate: 1.0, false_acceptance_rate: 0.0 },
        ];
        let svg = det_svg("a & b", &[Curve { label: "<core>".into(), points, eer: 0.1 }]);
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
        assert!(svg.contains("a &amp; b") && svg.contains("&lt;core&gt; (EER 10.0 %)"));
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
    }
}
