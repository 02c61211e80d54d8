//! The binary under Lambda's Runtime API.

#[test]
fn the_binary_answers_what_aws_sends() {
    tests::binaries::notify(env!("CARGO_BIN_EXE_notify"));
}

#[test]
fn the_binary_believes_certificates_of_the_roots_it_is_told() {
    tests::binaries::trust(env!("CARGO_BIN_EXE_notify"));
}
