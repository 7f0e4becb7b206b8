//! Measures against closed forms, hand-computed tables and the properties that define them.

use clonewatch::{
    metrics::{Class, DetectionCost, Measure, Scored, Steps, Summary, Trial, pool_adjacent_violators},
    policy::Decision,
};
use proptest::prelude::*;

fn scored(bona_fide: &[f64], spoof: &[f64]) -> Vec<Scored> {
    let bona_fide = bona_fide.iter().map(|&llr| Scored { llr, class: Class::BonaFide });
    bona_fide.chain(spoof.iter().map(|&llr| Scored { llr, class: Class::Spoof })).collect()
}

fn steps(bona_fide: &[f64], spoof: &[f64]) -> Steps {
    Steps::new(&scored(bona_fide, spoof)).expect("both classes are present")
}

/// Sums of a few terms: only rounding separates them from the exact value.
fn assert_near(actual: f64, expected: f64, what: &str) {
    assert!((actual - expected).abs() < 1e-12, "{what}: {actual} is not {expected}");
}

struct Row {
    bona_fide: &'static [f64],
    spoof: &'static [f64],
    eer: f64,
    auc: f64,
    min_dcf: f64,
    act_dcf: f64,
    min_cllr: f64,
}

/// ASVspoof 5: normalised cost = 1.9 × miss rate + false acceptance rate, Bayes threshold ln(0.5/0.95) = -0.642.
const HAND_COMPUTED: [Row; 6] = [
    // Perfect and on the right side of the threshold.
    Row { bona_fide: &[1.0, 2.0], spoof: &[-1.0, -2.0], eer: 0.0, auc: 1.0, min_dcf: 0.0, act_dcf: 0.0, min_cllr: 0.0 },
    // One pair out of order: hull (0, 1), (0, 1/2), (1/2, 0), (1, 0).
    Row {
        bona_fide: &[-1.0, 2.0],
        spoof: &[-2.0, 1.0],
        eer: 0.25,
        auc: 0.75,
        min_dcf: 0.5,
        act_dcf: 1.45,
        min_cllr: 0.5,
    },
    // Everything tied: chance. All are accepted at the Bayes threshold.
    Row { bona_fide: &[0.0, 0.0], spoof: &[0.0], eer: 0.5, auc: 0.5, min_dcf: 1.0, act_dcf: 1.0, min_cllr: 1.0 },
    // Perfectly wrong: the hull is the diagonal.
    Row { bona_fide: &[-3.0], spoof: &[3.0], eer: 0.5, auc: 0.0, min_dcf: 1.0, act_dcf: 2.9, min_cllr: 1.0 },
    // Between the threshold and 0, bona fide speech still passes; perfect ranking, bad offset for one spoof.
    Row { bona_fide: &[-0.5], spoof: &[-0.6, -0.7], eer: 0.0, auc: 1.0, min_dcf: 0.0, act_dcf: 0.5, min_cllr: 0.0 },
    // Certain LLRs of the right sign.
    Row {
        bona_fide: &[f64::INFINITY],
        spoof: &[f64::NEG_INFINITY],
        eer: 0.0,
        auc: 1.0,
        min_dcf: 0.0,
        act_dcf: 0.0,
        min_cllr: 0.0,
    },
];

#[test]
fn hand_computed_tables() {
    for (index, row) in HAND_COMPUTED.iter().enumerate() {
        let steps = steps(row.bona_fide, row.spoof);
        let cost = DetectionCost::ASVSPOOF5;
        assert_near(steps.eer(), row.eer, &format!("row {index}: EER"));
        assert_near(steps.auc(), row.auc, &format!("row {index}: AUC"));
        assert_near(steps.min_dcf(&cost), row.min_dcf, &format!("row {index}: minDCF"));
        assert_near(steps.act_dcf(&cost), row.act_dcf, &format!("row {index}: actDCF"));
        assert_near(steps.min_cllr(), row.min_cllr, &format!("row {index}: minCllr"));
    }
}

#[test]
fn asvspoof5_threshold_and_cllr_closed_forms() {
    assert_near(DetectionCost::ASVSPOOF5.bayes_threshold(), -(1.9_f64.ln()), "Bayes threshold");
    assert_near(steps(&[0.0; 3], &[0.0; 5]).cllr(), 1.0, "Cllr of saying nothing");
    // One trial each at ±a: both classes lose log2(1 + e^-a) bits.
    let a = 1.5_f64;
    assert_near(steps(&[a], &[-a]).cllr(), (-a).exp().ln_1p() / std::f64::consts::LN_2, "Cllr of ±a");
    assert!(steps(&[-10.0], &[10.0]).cllr() > 14.0, "misleading LLRs cost more than saying nothing");
    assert_eq!(steps(&[f64::INFINITY], &[f64::NEG_INFINITY]).cllr(), 0.0);
}

/// Logistic scores centred on ±m have EER = 1/(1 + e^m); quantiles stand for a sample, so one step (1/n) is the tolerance.
#[test]
fn logistic_scores_have_the_closed_form_eer() {
    let count = 4000;
    let quantile = |index: usize| {
        let p = (index as f64 + 0.5) / count as f64;
        (p / (1.0 - p)).ln()
    };
    for m in [0.0, 0.5, 1.0, 2.0, 3.0] {
        let bona_fide: Vec<f64> = (0..count).map(|index| quantile(index) + m).collect();
        let spoof: Vec<f64> = (0..count).map(|index| quantile(index) - m).collect();
        let expected = 1.0 / (1.0 + f64::exp(m));
        let eer = steps(&bona_fide, &spoof).eer();
        assert!((eer - expected).abs() < 1.0 / f64::from(count as u32), "m = {m}: {eer} is not {expected}");
    }
}

#[test]
fn one_class_or_nan_gives_no_steps() {
    assert!(Steps::new(&scored(&[1.0], &[])).is_none());
    assert!(Steps::new(&scored(&[], &[1.0])).is_none());
    assert!(Steps::new(&scored(&[1.0], &[f64::NAN])).is_none());
}

fn trial(class: Class, llr: Option<f64>, decision: Decision, cluster: u32) -> Trial {
    Trial { class, llr, decision, cluster }
}

#[test]
fn shares_count_unscored_trials_and_the_rest_does_not() {
    use {Class::*, Decision as D};
    let trials = [
        trial(BonaFide, Some(2.0), D::BonaFide, 0),
        trial(BonaFide, Some(-2.0), D::Spoof, 0),
        trial(BonaFide, Some(0.0), D::Inconclusive, 1),
        trial(BonaFide, None, D::Inconclusive, 1),
        trial(Spoof, Some(-3.0), D::Spoof, 2),
        trial(Spoof, Some(f64::NAN), D::Inconclusive, 2),
    ];
    let summary = Summary::new(&trials);
    assert_eq!((summary.bona_fide_count, summary.spoof_count), (4, 2));
    assert_eq!((summary.unscored_count, summary.cluster_count), (2, 3));
    let value = |measure| summary.get(measure).map(|estimate| estimate.value);
    assert_eq!(value(Measure::GenuinePassed), Some(0.25));
    assert_eq!(value(Measure::GenuineFlagged), Some(0.25));
    assert_eq!(value(Measure::GenuineInconclusive), Some(0.5));
    assert_eq!(value(Measure::SpoofCaught), Some(0.5));
    assert_eq!(value(Measure::SpoofPassed), Some(0.0));
    assert_eq!(value(Measure::SpoofMeanLlr), Some(-3.0));
    assert_eq!(value(Measure::GenuineMeanLlr), Some(0.0));
    assert_eq!(value(Measure::Eer), Some(0.0));
    assert_eq!(summary.get(Measure::Eer).and_then(|estimate| estimate.interval), None, "three clusters are too few");
}

#[test]
fn one_class_has_shares_but_no_eer() {
    let trials = [trial(Class::Spoof, Some(-1.0), Decision::Spoof, 0)];
    let summary = Summary::new(&trials);
    assert_eq!(summary.get(Measure::Eer), None);
    assert_eq!(summary.get(Measure::GenuineFlagged), None);
    assert_eq!(summary.get(Measure::SpoofCaught).map(|estimate| estimate.value), Some(1.0));
}

/// 40 clusters of 10 trials. Where a cluster's trials all err together the interval must be about √10 times as wide as
/// where the same number of errors is spread evenly; anything over 2 shows that clusters are drawn whole.
#[test]
fn intervals_are_clustered_and_repeat() {
    let flagged = |together: bool| -> Summary {
        let trials: Vec<Trial> = (0..400_u32)
            .map(|index| {
                let (cluster, within) = (index / 10, index % 10);
                let wrong = if together { cluster % 10 == 0 } else { within == cluster % 10 };
                let decision = if wrong { Decision::Spoof } else { Decision::BonaFide };
                trial(Class::BonaFide, Some(f64::from(within)), decision, cluster)
            })
            .collect();
        Summary::new(&trials)
    };
    let width = |summary: &Summary| {
        let estimate = summary.get(Measure::GenuineFlagged).expect("shares exist");
        assert_near(estimate.value, 0.1, "share");
        let interval = estimate.interval.expect("40 clusters");
        interval.high - interval.low
    };
    let (together, spread) = (flagged(true), flagged(false));
    // Standard error of 40 clusters with p = 0.1 is 0.047, so the interval is about 0.19 wide.
    assert!((0.14..0.24).contains(&width(&together)), "{}", width(&together));
    assert!(width(&spread) < 1e-12, "every cluster has one error in ten");
    assert_eq!(together, flagged(true), "same trials, same interval");
}

#[test]
fn a_class_from_too_few_clusters_has_no_interval() {
    let genuine = (0..20).map(|index| trial(Class::BonaFide, Some(f64::from(index)), Decision::BonaFide, index));
    let spoofs = (0..20).map(|index| trial(Class::Spoof, Some(-f64::from(index)), Decision::Spoof, index % 4));
    let summary = Summary::new(&genuine.chain(spoofs).collect::<Vec<_>>());
    let has_interval = |measure| summary.get(measure).is_some_and(|estimate| estimate.interval.is_some());
    assert!(has_interval(Measure::GenuinePassed) && has_interval(Measure::GenuineMeanLlr));
    assert!(!has_interval(Measure::SpoofCaught) && !has_interval(Measure::Eer));
}

fn any_scores() -> impl Strategy<Value = (Vec<f64>, Vec<f64>)> {
    // Few distinct values, so that ties are common.
    let score = || (-20_i32..20).prop_map(|tenths| f64::from(tenths) / 4.0);
    (prop::collection::vec(score(), 1..40), prop::collection::vec(score(), 1..40))
}

proptest! {
    #[test]
    fn rank_measures_ignore_monotone_maps((bona_fide, spoof) in any_scores()) {
        let map = |scores: &[f64]| scores.iter().map(|x| x.powi(3) + 7.0 * x - 3.0).collect::<Vec<f64>>();
        let (before, after) = (steps(&bona_fide, &spoof), steps(&map(&bona_fide), &map(&spoof)));
        let cost = DetectionCost::ASVSPOOF5;
        prop_assert_eq!(before.eer(), after.eer());
        prop_assert_eq!(before.auc(), after.auc());
        prop_assert_eq!(before.min_cllr(), after.min_cllr());
        prop_assert_eq!(before.min_dcf(&cost), after.min_dcf(&cost));
    }

    #[test]
    fn values_stay_in_range_and_the_best_is_best((bona_fide, spoof) in any_scores()) {
        let steps = steps(&bona_fide, &spoof);
        let cost = DetectionCost::ASVSPOOF5;
        prop_assert!((0.0..=0.5).contains(&steps.eer()));
        prop_assert!((0.0..=1.0).contains(&steps.auc()));
        prop_assert!((0.0..=1.0 + 1e-12).contains(&steps.min_dcf(&cost)));
        prop_assert!(steps.min_dcf(&cost) <= steps.act_dcf(&cost) + 1e-12);
        prop_assert!((0.0..=1.0 + 1e-12).contains(&steps.min_cllr()));
        prop_assert!(steps.min_cllr() <= steps.cllr() + 1e-12);
    }

    #[test]
    fn swapping_the_classes_mirrors_the_curve((bona_fide, spoof) in any_scores()) {
        let negate = |scores: &[f64]| scores.iter().map(|x| -x).collect::<Vec<f64>>();
        let (plain, mirrored) = (steps(&bona_fide, &spoof), steps(&negate(&spoof), &negate(&bona_fide)));
        prop_assert!((plain.eer() - mirrored.eer()).abs() < 1e-12);
        prop_assert!((plain.auc() - mirrored.auc()).abs() < 1e-12);
        prop_assert!((plain.cllr() - mirrored.cllr()).abs() < 1e-12);
    }

    #[test]
    fn pooled_blocks_rise_and_keep_every_trial((bona_fide, spoof) in any_scores()) {
        let steps = steps(&bona_fide, &spoof);
        let blocks = pool_adjacent_violators(steps.rising());
        prop_assert!(blocks.windows(2).all(|pair| pair[0].bona_fide_share() < pair[1].bona_fide_share()));
        prop_assert_eq!(blocks.iter().map(|block| block.bona_fide).sum::<f64>(), bona_fide.len() as f64);
        prop_assert_eq!(blocks.iter().map(|block| block.spoof).sum::<f64>(), spoof.len() as f64);
    }

    #[test]
    fn hull_lies_on_or_below_every_threshold((bona_fide, spoof) in any_scores(), weight in 0.05_f64..20.0) {
        let steps = steps(&bona_fide, &spoof);
        let best = |points: Vec<clonewatch::metrics::OperatingPoint>| {
            points.iter().map(|p| weight * p.miss_rate + p.false_acceptance_rate).fold(f64::INFINITY, f64::min)
        };
        prop_assert!((best(steps.convex_hull()) - best(steps.roc())).abs() < 1e-12);
    }
}
