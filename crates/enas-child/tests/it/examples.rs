//! The examples run.

#[path = "../../examples/finetune.rs"]
mod finetune;
#[path = "../../examples/larger_model.rs"]
mod larger_model;
#[path = "../../examples/read_model.rs"]
mod read_model;

#[test]
fn a_network_is_fine_tuned_on_other_classes() {
    finetune::main().expect("it runs");
}

#[test]
fn a_network_is_a_layer_of_a_larger_model() {
    larger_model::main().expect("it runs");
}

#[test]
fn a_model_is_read_from_a_file() {
    read_model::main().expect("it runs");
}
