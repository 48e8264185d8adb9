//! Files of weights of any bytes: see `fuzzing`.

use super::container::Container;
use super::pickle::Pickle;

/// Reads a pickle.
pub(crate) fn pickle(bytes: &[u8]) {
    if let Ok(read) = Pickle::read(bytes) {
        assert!(read.length <= bytes.len());
        read.persistent_ids().for_each(|id| _ = read.get(id).kind());
    }
}

/// Opens a file of `torch.save` and looks up its storages.
pub(crate) fn torch_file(bytes: &[u8]) {
    if let Ok(container) = Container::open(bytes) {
        for id in container.pickle.persistent_ids() {
            let _ = container.storage(id);
        }
    }
}
