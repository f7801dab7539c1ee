use enas_data::Part;
use enas_data::check::{ClassCount, Sizes};

use super::*;
use enas_run::config::Kind;

fn report(per_class: usize, side: usize, coloured: bool) -> Report {
    let tenth = per_class / 10;
    let class = |name: &str| ClassCount {
        class: name.into(),
        train: per_class - 2 * tenth,
        valid: tenth,
        test: tenth,
    };
    Report {
        path: "photos".into(),
        can_start: true,
        files: 2 * per_class,
        usable: 2 * per_class,
        coloured: if coloured { 2 * per_class } else { 0 },
        drawn: vec![enas_data::Part::Valid, enas_data::Part::Test],
        classes: vec![class("a"), class("b")],
        sizes: Some(Sizes {
            distinct: 1,
            common: Vec::new(),
            widths: [side; 3],
            heights: [side; 3],
            proportions: [1.0; 3],
        }),
        findings: Vec::new(),
    }
}

fn value(choices: &[Choice], key: &str) -> Option<String> {
    choices.iter().find(|choice| choice.key == key).map(|choice| choice.value.clone())
}

#[test]
fn small_grey_images_are_taken_as_they_are() {
    let choices = recommend(&report(5000, 28, false), &Given::default());
    let of = |key| value(&choices, key).unwrap();
    assert_eq!((of("data.image_size"), of("data.channels")), ("28".into(), "1".into()));
    assert_eq!((of("data.augment.flip"), of("run.batch_size")), ("false".into(), "64".into()));
    assert_eq!(of("child.reductions"), "two");
    assert_eq!(value(&choices, "data.valid_fraction"), None, "a tenth is enough");
    assert_eq!(value(&choices, "run.passes"), None, "an epoch of one pass is long enough");
}

#[test]
fn few_photos_get_small_batches_and_larger_splits() {
    let choices = recommend(&report(90, 96, true), &Given::default());
    let of = |key| value(&choices, key).unwrap();
    assert_eq!((of("data.image_size"), of("data.channels")), ("64".into(), "3".into()));
    assert_eq!((of("run.batch_size"), of("data.test_fraction")), ("32".into(), "0.15".into()));
    assert_eq!(of("schedule.lr_max"), "0.14");
    // 124 of 180 images make 3 steps.
    assert_eq!((of("run.passes"), of("run.epochs")), ("17".into(), "30".into()));
    assert_eq!(of("data.augment.flip"), "true");
}

fn reason(choices: &[Choice], key: &str) -> String {
    choices.iter().find(|choice| choice.key == key).map(|choice| choice.reason.clone()).unwrap()
}

#[test]
fn reasons_have_the_numbers_of_the_run() {
    // 45 per class: 31 training images, 7 + 7 held out.
    let choices = recommend(&report(45, 96, true), &Given::default());
    assert_eq!(reason(&choices, "run.batch_size"), "62 training images make 1 step");
    // 50 passes over 62 images are 3100 images: 96 batches of 32.
    assert_eq!(reason(&choices, "run.passes"), "an epoch of 96 steps, before each measurement");
    let wanted = "a tenth would be 9 images, too few to measure anything";
    for key in ["data.valid_fraction", "data.test_fraction"] {
        assert_eq!(reason(&choices, key), wanted);
    }
}

#[test]
fn splits_of_the_user_get_no_share_and_no_reason() {
    // 200 images to divide into training and validation; the 40 test images are the user's.
    let class = |name: &str| ClassCount { class: name.into(), train: 90, valid: 10, test: 20 };
    let of_user =
        Report { drawn: vec![Part::Valid], classes: vec![class("a"), class("b")], ..report(100, 96, true) };
    let choices = recommend(&of_user, &Given { refits: true, ..Given::default() });
    assert_eq!(value(&choices, "data.test_fraction"), None);
    assert!(reason(&choices, "data.valid_fraction").contains("a tenth would be 20 images"), "{choices:?}");
    assert_eq!(reason(&choices, "run.batch_size"), "170 training images make 5 steps");
    assert!(
        reason(&choices, "refit.images").contains("200 images; the 40 test images stay unseen"),
        "{choices:?}"
    );

    let drawn = report(90, 96, true);
    let given = Given { test_fraction: Some(0.3), ..Given::default() };
    let choices = recommend(&drawn, &given);
    assert_eq!(value(&choices, "data.test_fraction"), None, "the user has set it");
    // Of 90 images of a class, 14 are for validation and 27 for the test.
    assert_eq!(reason(&choices, "run.batch_size"), "98 training images make 3 steps");
}

#[test]
fn classes_of_very_different_size_count_alike() {
    let of = |sizes: [usize; 2]| {
        let class = |train: usize| ClassCount { class: train.to_string(), train, valid: 60, test: 60 };
        let report = Report { classes: sizes.map(class).to_vec(), ..report(90, 96, true) };
        recommend(&report, &Given::default())
    };
    let choices = of([4000, 400]);
    assert_eq!(value(&choices, "data.sampling"), Some("balanced".into()));
    assert_eq!(value(&choices, "metric"), Some("macro-f1".into()));
    assert!(reason(&choices, "data.sampling").contains("10 times"), "{choices:?}");
    let keys = |kind| -> Vec<&str> {
        let of_kind = choices.iter().filter(|choice| choice.is_for(kind)).map(|choice| choice.key.as_str());
        of_kind.filter(|key| key.ends_with("sampling") || key.ends_with("metric")).collect()
    };
    assert_eq!(keys(Kind::Search), ["data.sampling", "select.metric"]);
    assert_eq!(keys(Kind::Train), ["data.sampling", "metric"]);
    for equal in [[3999, 400], [4000, 0]] {
        let choices = of(equal);
        let all = ["data.sampling", "select.metric", "metric"].map(|key| value(&choices, key));
        assert_eq!(all, [None, None, None]);
    }
}

#[test]
fn the_ratio_of_classes_is_that_of_the_training_images_which_the_run_has() {
    let mut report = report(180, 96, true);
    let of =
        |class: &str, train, held: usize| ClassCount { class: class.into(), train, valid: held, test: held };
    report.classes = vec![of("a", 241, 30), of("b", 4, 1)];
    let choices = recommend(&report, &Given::default());
    assert_eq!(value(&choices, "data.valid_fraction"), Some("0.15".into()));
    let divided = [301, 6].map(|n| n - held_out_of(n));
    let wanted = format!("the largest class has {} times", divided[0] / divided[1]);
    assert!(reason(&choices, "data.sampling").starts_with(&wanted), "{choices:?}");
    assert_ne!(divided[0] / divided[1], 241 / 4, "the shares of the check were others");
}

fn held_out_of(images: usize) -> usize {
    let (valid, test) = enas_data::held_out(images, 0.15, 0.15);
    valid + test
}

#[test]
fn little_time_is_for_small_images() {
    let size = |seconds| {
        let given = Given { seconds, ..Given::default() };
        value(&recommend(&report(90, 96, true), &given), "data.image_size").unwrap()
    };
    assert_eq!([size(None), size(Some(20.0)), size(Some(60.0))], ["64", "48", "64"]);
}

#[test]
fn images_that_measured_are_learned_from_unless_the_user_chose_them_for_testing() {
    let refit = |drawn: &[enas_data::Part], refits| {
        let report = Report { drawn: drawn.to_vec(), ..report(90, 96, true) };
        value(&recommend(&report, &Given { refits, ..Given::default() }), "refit.images")
    };
    let valid = enas_data::Part::Valid;
    let test = enas_data::Part::Test;
    assert_eq!(refit(&[valid, test], true), Some("all".into()));
    let few = recommend(&report(90, 96, true), &Given { refits: true, ..Given::default() });
    assert_eq!(value(&few, "refit.share"), Some("0.8".into()));
    let many = recommend(&report(5000, 28, false), &Given { refits: true, ..Given::default() });
    assert_eq!(value(&many, "refit.share"), None);
    assert_eq!(refit(&[valid], true), Some("validation".into()));
    assert_eq!(refit(&[], true), Some("validation".into()));
    assert_eq!(refit(&[valid, test], false), None, "a training that is asked for ends with its measurement");
}

#[test]
fn a_search_gets_rewards_in_proportion_to_its_steps() {
    let of = |per_class, key: &str| {
        let choices = recommend(&report(per_class, 28, false), &Given::default());
        let mut found = choices.into_iter().filter(|c| c.is_for(Kind::Search) && c.key == key);
        found.next().unwrap().value.parse::<usize>().unwrap()
    };
    // 17 passes over 124 training images in batches of 32: 65 steps, 7 updates of 10 rewards.
    assert_eq!((of(90, "controller.steps"), of(90, "run.epochs")), (7, 138));
    // 8,000 in batches of 64: 125 steps.
    assert_eq!((of(5000, "controller.steps"), of(5000, "run.epochs")), (13, 72));
    assert_eq!(of(50_000, "controller.steps"), 30, "never more than published");
    // With this few images a search has no policy.
    assert_eq!(of(90, "finals.policy"), 0);
}

#[test]
fn choices_follow_from_what_is_given_and_do_not_repeat_it() {
    let given = Given { image_size: Some(32), batch_size: Some(8), ..Given::default() };
    let choices = recommend(&report(90, 96, true), &given);
    assert_eq!(value(&choices, "data.image_size"), None);
    assert_eq!(value(&choices, "run.batch_size"), None);
    assert_eq!(value(&choices, "child.reductions").unwrap(), "two", "32 pixels halve twice");
    let rewards = choices.iter().find(|choice| choice.key == "controller.steps").unwrap();
    assert!(rewards.reason.contains("the 62 training steps"), "{}", rewards.reason);
}

#[test]
fn every_choice_is_a_setting_of_the_preset_for_folders() {
    use crate::{ConfigBuilder, SearchConfig, TrainConfig};
    let mut unequal = report(1000, 28, false);
    unequal.classes[0].train = 9;
    for choices in [
        recommend(&report(5000, 28, false), &Given::default()),
        recommend(&report(40, 300, true), &Given::default()),
        of_unequal_classes(&Larger::of(&unequal, &Given::default())),
    ] {
        let set =
            |layers: ConfigBuilder, choice: &Choice| layers.set(format!("{}={}", choice.key, choice.value));
        let of = |kind| choices.iter().filter(move |choice| choice.is_for(kind));
        of(Kind::Train).fold(ConfigBuilder::preset("folder"), set).load::<TrainConfig>().unwrap();
        of(Kind::Search).fold(ConfigBuilder::preset("folder"), set).load::<SearchConfig>().unwrap();
    }
}
