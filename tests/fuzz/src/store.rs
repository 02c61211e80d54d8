//! The secret of a source, as the store hands it out.

/// A secret.
#[derive(Debug, Clone)]
pub struct Secret(String);

impl Secret {
    /// The secret in clear.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Secret {
        Secret(text.to_owned())
    }
}
