//! The binary under Lambda's Runtime API.

#[test]
fn the_binary_answers_what_aws_sends() {
    tests::binaries::evaluate(env!("CARGO_BIN_EXE_evaluate"));
}
