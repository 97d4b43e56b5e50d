use bowline_canary::{EValue, Evidence, Point, TestEvidence};
use maud::{Markup, html};

use super::scale::{Scale, place, ticks};
use crate::console::format::float;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 340.0;
const LEFT: f64 = 92.0;
const RIGHT: f64 = 620.0;
const TOP: f64 = 16.0;
const BOTTOM: f64 = 282.0;

/// Below a thousandth, evidence is just "none"; above a million, it is just "plenty".
const DECADE_LOW: f64 = -3.0;
const DECADE_HIGH: f64 = 6.0;

/// Two labels beside the plot are at least this far apart.
const LABEL_GAP: f64 = 20.0;

struct Axes {
    x: Scale,
    y: Scale,
    units: f64,
    decades: (f64, f64),
}

/// Returns the plot of both e-values against their thresholds, over the units observed.
pub(in crate::console) fn evidence(found: &Evidence, series: &[Point]) -> Markup {
    let axes = Axes::new(found, series);
    let (rollback, promotion) = (&found.rollback, &found.promotion);
    let shows = format!(
        "E-values over {} units, on a logarithmic scale. Worse: now {}, at most {}, rolls back at {:.0}. Not worse: now {}, at \
         most {}, promotes at {:.0}.",
        found.observations,
        rollback.e_value,
        rollback.peak,
        rollback.threshold,
        promotion.e_value,
        promotion.peak,
        promotion.threshold,
    );
    html! {
        div.frame {
            svg.plot viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label=(shows) {
                (axes.grid())
                (axes.thresholds(rollback, promotion))
                (axes.line("rollback", series, |point| point.rollback))
                (axes.line("promotion", series, |point| point.promotion))
                (axes.labels(rollback, promotion))
            }
        }
    }
}

// === impl Axes ===

impl Axes {
    fn new(found: &Evidence, series: &[Point]) -> Self {
        let units = float(found.observations).max(20.0);
        let values = series.iter().flat_map(|point| [point.rollback.log10(), point.promotion.log10()]);
        let (least, most) =
            values.fold((0.0, 0.0), |(least, most): (f64, f64), value| (least.min(value), most.max(value)));
        let threshold = found.rollback.threshold.max(found.promotion.threshold).log10() + 0.2;
        let low = least.clamp(DECADE_LOW, -1.0).floor();
        let high = most.max(threshold).min(DECADE_HIGH).ceil();
        Self {
            x: Scale::new((0.0, units), (LEFT, RIGHT)),
            y: Scale::new((low, high), (BOTTOM, TOP)),
            units,
            decades: (low, high),
        }
    }

    /// The frame: round numbers of units below, powers of ten at the left.
    fn grid(&self) -> Markup {
        let (low, high) = self.decades;
        let decades = (-3_i8..=6).map(f64::from).filter(|decade| (low..=high).contains(decade));
        html! {
            g.grid {
                @for decade in decades {
                    @let y = place(self.y.at(decade));
                    line x1=(LEFT) x2=(RIGHT) y1=(y) y2=(y) class=[(decade == 0.0).then_some("one")] {}
                    text x=(LEFT - 10.0) y=(y) dy="0.35em" text-anchor="end" { (10_f64.powf(decade)) }
                }
                @for tick in ticks(self.units) {
                    @let x = place(self.x.at(tick));
                    line x1=(x) x2=(x) y1=(BOTTOM) y2=(BOTTOM + 5.0) {}
                    text x=(x) y=(BOTTOM + 22.0) text-anchor="middle" { (tick) }
                }
                text x=(f64::midpoint(LEFT, RIGHT)) y=(HEIGHT - 10.0) text-anchor="middle" { "units observed" }
                text transform={ "translate(16 " (f64::midpoint(TOP, BOTTOM)) ") rotate(-90)" } text-anchor="middle" {
                    "e-value (log scale)"
                }
            }
        }
    }

    fn thresholds(&self, rollback: &TestEvidence, promotion: &TestEvidence) -> Markup {
        let same = rollback.threshold.total_cmp(&promotion.threshold).is_eq();
        let lines = if same {
            vec![("both", rollback.threshold, "verdict at")]
        } else {
            vec![("rollback", rollback.threshold, "rolls back at"), ("promotion", promotion.threshold, "promotes at")]
        };
        html! {
            @for (test, threshold, words) in lines {
                @let y = self.y.at(threshold.log10());
                g class={ "threshold " (test) } {
                    line x1=(LEFT) x2=(RIGHT) y1=(place(y)) y2=(place(y)) {}
                    text x=(LEFT + 8.0) y=(place(y - 7.0)) { (words) " " (format!("{threshold:.0}")) }
                }
            }
        }
    }

    fn line(&self, test: &str, series: &[Point], value: impl Fn(&Point) -> EValue) -> Markup {
        let mut path = format!("M{LEFT:.1} {:.1}", self.y.at(0.0));
        for point in series {
            let (x, y) = (self.x.at(float(point.sequence + 1)), self.y.at(value(point).log10()));
            path.push_str(&format!("L{x:.1} {y:.1}"));
        }
        html! { path class={ "line " (test) } d=(path) {} }
    }

    /// The present values, beside the ends of their lines.
    fn labels(&self, rollback: &TestEvidence, promotion: &TestEvidence) -> Markup {
        let place_of = |test: &TestEvidence| self.y.at(test.e_value.log10());
        let (mut worse, mut not_worse) = (place_of(rollback), place_of(promotion));
        let missing = LABEL_GAP - (worse - not_worse).abs();
        if missing > 0.0 {
            let up = if worse <= not_worse { -missing / 2.0 } else { missing / 2.0 };
            (worse, not_worse) = (worse + up, not_worse - up);
        }
        html! {
            g.labels.beside {
                text.rollback x=(RIGHT + 10.0) y=(place(worse)) dy="0.35em" { "worse " (rollback.e_value) }
                text.promotion x=(RIGHT + 10.0) y=(place(not_worse)) dy="0.35em" { "not worse " (promotion.e_value) }
            }
        }
    }
}
