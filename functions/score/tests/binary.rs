//! The binary under Lambda's Runtime API.

#[test]
fn the_binary_answers_what_aws_sends() {
    tests::binaries::score(env!("CARGO_BIN_EXE_score"));
}
