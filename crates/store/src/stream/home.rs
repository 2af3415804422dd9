//! Where a stream on disk lives.

use std::path::PathBuf;
use std::sync::Arc;

use crate::commit::Committer;
use crate::crypt::Keys;
use crate::disk::Disk;
use crate::problem::Problems;
use crate::tail::TailCache;

/// What a stream on disk needs besides its log.
#[derive(Debug)]
pub(crate) struct Home {
    pub(crate) dir: PathBuf,
    pub(crate) disk: Arc<dyn Disk>,
    /// The stream's identity.
    pub(crate) id: [u8; 16],
    pub(crate) keys: Option<Keys>,
    pub(crate) committer: Arc<Committer>,
    pub(crate) problems: Arc<Problems>,
    pub(crate) tails: Arc<TailCache>,
}
