//! Reads Python pickles as far as `torch.save` writes them, and runs nothing.
//!
//! A pickle is a program for a small stack machine, and Python's reader calls whatever function it names. Here names
//! are only read. Calls of the few functions that `torch.save` needs become a [`Value::Call`] that is inspected, never
//! executed; every other call is refused. The opcodes are those of CPython's `Lib/pickletools.py`.
//!
//! Values are stored in one list and refer to each other by [`Id`], so shared, deeply nested or cyclic values need
//! neither copies nor recursion.

mod machine;
mod reader;

use crate::base::errors::Result;
use machine::Machine;

/// The class of parameters, which old files call without arguments and then give a state.
pub(crate) const PARAMETER: &str = "torch.nn.parameter.Parameter";

/// The index of a value in its [`Pickle`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Id(u32);

/// A value of a pickle.
#[derive(Debug, PartialEq)]
pub(crate) enum Value {
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
    Tuple(Vec<Id>),
    /// A list, or a set.
    List(Vec<Id>),
    /// A dict or an OrderedDict, in the order of the file; a key may stand in it twice.
    Dict(Vec<(Id, Id)>),
    /// A function or class by its full name, such as `torch.FloatStorage`.
    Global(String),
    /// One of the allowed functions with its arguments, a tuple; the state is that of an old file's parameter.
    Call {
        function: &'static str,
        arguments: Id,
        state: Option<Id>,
    },
    /// A persistent id: an object outside the pickle.
    Persistent(Id),
}

impl Value {
    /// The kind of value, for errors.
    pub(crate) fn kind(&self) -> String {
        let kind = match self {
            Self::None => "None",
            Self::Bool(_) => "a bool",
            Self::Int(_) => "an int",
            Self::Float(_) => "a float",
            Self::Text(_) => "a str",
            Self::Bytes(_) => "bytes",
            Self::Tuple(_) => "a tuple",
            Self::List(_) => "a list",
            Self::Dict(_) => "a dict",
            Self::Global(name) => return format!("the name {name}"),
            Self::Call { function, .. } => return format!("a result of {function}"),
            Self::Persistent(_) => "a storage",
        };
        kind.to_owned()
    }
}

/// A pickle that has been read.
#[derive(Debug)]
pub(crate) struct Pickle {
    values: Vec<Value>,
    /// The pickled object.
    pub(crate) root: Id,
    /// Length of the pickle in bytes; other data may follow.
    pub(crate) length: usize,
}

impl Pickle {
    /// Reads the pickle that `bytes` begin with.
    ///
    /// # Errors
    /// A call of anything that is not allowed; a truncated or damaged pickle; one beyond the limits.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self> {
        Machine::new(bytes).run()
    }

    /// The value at an index.
    pub(crate) fn get(&self, id: Id) -> &Value {
        self.values.get(id.0 as usize).unwrap_or(&Value::None)
    }

    /// Elements of a tuple or list.
    pub(crate) fn items(&self, id: Id) -> Option<&[Id]> {
        match self.get(id) {
            Value::Tuple(items) | Value::List(items) => Some(items),
            _ => None,
        }
    }

    /// Pairs of a dict.
    pub(crate) fn pairs(&self, id: Id) -> Option<&[(Id, Id)]> {
        match self.get(id) {
            Value::Dict(pairs) => Some(pairs),
            _ => None,
        }
    }

    /// A str.
    pub(crate) fn text(&self, id: Id) -> Option<&str> {
        match self.get(id) {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// An int that is no less than 0.
    pub(crate) fn count(&self, id: Id) -> Option<usize> {
        match self.get(id) {
            Value::Int(int) => usize::try_from(*int).ok(),
            _ => None,
        }
    }

    /// The value of a key in a dict; of several, the last, as in Python.
    pub(crate) fn find(&self, dict: Id, key: &str) -> Option<Id> {
        let pairs = self.pairs(dict)?;
        pairs.iter().rev().find(|(name, _)| self.text(*name) == Some(key)).map(|(_, value)| *value)
    }

    /// All persistent ids.
    pub(crate) fn persistent_ids(&self) -> impl Iterator<Item = Id> {
        self.values.iter().filter_map(|value| if let Value::Persistent(id) = value { Some(*id) } else { None })
    }
}
