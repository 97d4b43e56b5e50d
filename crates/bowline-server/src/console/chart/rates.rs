use bowline_canary::{ArmEvidence, Evidence, Interval};
use bowline_types::Arm;
use maud::{Markup, html};

use super::scale::{Scale, place};
use crate::console::format::percent;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 140.0;
const LEFT: f64 = 118.0;
const RIGHT: f64 = 584.0;
const ROW: f64 = 34.0;
const BOTTOM: f64 = 84.0;

/// Returns the success rates of both arms with their intervals; nothing before both have a known value.
pub(in crate::console) fn rates(evidence: &Evidence) -> Markup {
    let arms = Arm::ALL.map(|arm| found(arm, evidence.arms.get(arm)));
    let [Some(stable), Some(candidate)] = arms else { return html! {} };
    let x = scale(stable.interval.lower.min(candidate.interval.lower));
    let shows = format!("Success rates with 95 % intervals: {}; {}.", stable.words(), candidate.words());
    html! {
        div.frame {
            svg.plot viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label=(shows) {
                (axis(x))
                @for (row, found) in (0_u8..).zip([&stable, &candidate]) {
                    (found.mark(x, 22.0 + f64::from(row) * ROW))
                }
            }
        }
    }
}

/// The axis ends at 100 % and begins at the round tenth below everything that is shown.
#[derive(Clone, Copy)]
struct Axis {
    scale: Scale,
    low: f64,
}

struct Found {
    arm: Arm,
    mean: f64,
    interval: Interval,
}

fn found(arm: Arm, evidence: &ArmEvidence) -> Option<Found> {
    Some(Found { arm, mean: evidence.mean()?, interval: evidence.interval()? })
}

fn scale(least: f64) -> Axis {
    let low = ((least * 10.0).floor() / 10.0).clamp(0.0, 0.9);
    Axis { scale: Scale::new((low, 1.0), (LEFT, RIGHT)), low }
}

fn axis(axis: Axis) -> Markup {
    let step = if axis.low < 0.45 { 10 } else { 5 };
    let rates = (0_u8..=100).step_by(step).map(f64::from).filter(|rate| rate / 100.0 >= axis.low - 1e-9);
    html! {
        g.grid {
            @for rate in rates {
                @let x = place(axis.scale.at(rate / 100.0));
                line x1=(x) x2=(x) y1="6" y2=(BOTTOM) {}
                text x=(x) y=(BOTTOM + 20.0) text-anchor="middle" { (rate) " %" }
            }
            text x=(f64::midpoint(LEFT, RIGHT)) y=(HEIGHT - 8.0) text-anchor="middle" { "success rate of known units" }
        }
    }
}

// === impl Found ===

impl Found {
    fn words(&self) -> String {
        let Self { arm, mean, interval } = self;
        format!("{arm} {}, from {} to {}", percent(*mean), percent(interval.lower), percent(interval.upper))
    }

    /// A whisker with a mark at the rate: a disc for stable, a diamond for the candidate.
    fn mark(&self, axis: Axis, y: f64) -> Markup {
        let at = |rate| axis.scale.at(rate);
        let (from, to, mean) = (at(self.interval.lower), at(self.interval.upper), at(self.mean));
        html! {
            g class=(self.arm.as_str()) {
                text x=(LEFT - 12.0) y=(y) dy="0.35em" text-anchor="end" { (self.arm) }
                path.whisker d=(format!("M{from:.1} {:.1}v12M{from:.1} {y:.1}H{to:.1}M{to:.1} {:.1}v12", y - 6.0, y - 6.0)) {}
                @match self.arm {
                    Arm::Stable => circle cx=(place(mean)) cy=(y) r="6" {},
                    Arm::Candidate => path.mark d=(format!("M{mean:.1} {:.1}l8 8l-8 8l-8 -8z", y - 8.0)) {},
                }
                text.beside x=(RIGHT + 16.0) y=(y) dy="0.35em" { (percent(self.mean)) }
            }
        }
    }
}
