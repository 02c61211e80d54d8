//! The key under which personal traits are hashed.

use std::sync::Arc;

use domain::lifecycle::Lifecycle;
use domain::personal::Shield;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::{Store, StoreError};

impl Store {
    /// What keeps the personal traits of a lifecycle from being stored as told; `None` where it has
    /// none. The key is the workspace's own, read once by a process.
    ///
    /// # Errors
    /// When the table cannot be read, or the first key not be written.
    pub async fn shield(&self, lifecycle: &Lifecycle) -> Result<Option<Arc<Shield>>, StoreError> {
        let traits = lifecycle.personal();
        if traits.is_empty() {
            return Ok(None);
        }
        let secret = self.secret().await?;
        let hash = move |text: &str| {
            let mut mac =
                Hmac::<Sha256>::new_from_slice(&secret).expect("a key may have any length");
            mac.update(b"trait\0");
            mac.update(text.as_bytes());
            domain::hex(&mac.finalize().into_bytes())
        };
        Ok(Some(Arc::new(Shield::new(traits, hash))))
    }
}
