//! The stack machine that a pickle is a program for.

use super::reader::Reader;
use super::{Id, PARAMETER, Pickle, Value};
use crate::base::errors::{Context, Result, bail, ensure};
use std::collections::HashMap;

/// The most values, references, marks and memo entries together. A state dict takes about forty for a tensor, so this is
/// room for fifty thousand; it bounds the memory that a hostile file can ask for to some hundred megabytes.
const MAX_STEPS: usize = 1 << 21;

/// The longest name of a function or class, module included. Names are put together from memoized strings, so without
/// a limit a small file could ask for many large ones.
const MAX_NAME: usize = 512;

/// What a pickle may call besides `collections.OrderedDict` and `torch.Size`, which become plain values at once.
const CALLABLE: [&str; 5] = [
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_tensor",
    "torch._utils._rebuild_parameter",
    "torch._utils._rebuild_parameter_with_state",
    PARAMETER,
];

/// The state of the machine.
#[derive(Default)]
pub(super) struct Machine<'a> {
    source: Reader<'a>,
    steps: usize,
    values: Vec<Value>,
    stack: Vec<Id>,
    /// Heights of the stack at the open marks.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

impl<'a> Machine<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { source: Reader::new(bytes), ..Self::default() }
    }

    /// Runs until the pickle's end.
    pub(super) fn run(mut self) -> Result<Pickle> {
        loop {
            let start = self.source.at;
            let [opcode] = self.source.array()?;
            if opcode == b'.' {
                let root = self.pop()?;
                return Ok(Pickle { values: self.values, root, length: self.source.at });
            }
            self.execute(opcode).with_context(|| format!("at byte {start} of the pickle, opcode {opcode:#04x}"))?;
        }
    }

    fn execute(&mut self, opcode: u8) -> Result<()> {
        if let Some(value) = self.source.constant(opcode)? {
            return self.push(value);
        }
        match opcode {
            0x80 => self.protocol(),
            0x95 => self.frame(),
            b'(' => self.step().map(|()| self.marks.push(self.stack.len())),
            b'0' if self.marks.last() == Some(&self.stack.len()) => self.above_mark().map(drop),
            b'0' => self.pop().map(drop),
            b'1' => self.above_mark().map(drop),
            b'2' => self.top().and_then(|id| self.push_id(id)),
            b'p' | b'q' | b'r' | 0x94 => self.put(opcode),
            b'g' | b'h' | b'j' => self.recall(opcode),
            b'c' | 0x93 => self.global(opcode),
            b'P' | b'Q' => self.persistent(opcode),
            b'R' | 0x81 | b'i' | b'o' => self.call(opcode),
            b'b' => self.build(),
            _ => self.collect(opcode),
        }
    }

    /// Tuples, lists, sets and dicts.
    fn collect(&mut self, opcode: u8) -> Result<()> {
        match opcode {
            b')' => self.push(Value::Tuple(Vec::new())),
            b']' | 0x8f => self.push(Value::List(Vec::new())),
            b'}' => self.push(Value::Dict(Vec::new())),
            0x85..=0x87 => {
                let mut items = (0x85..=opcode).map(|_| self.pop()).collect::<Result<Vec<_>>>()?;
                items.reverse();
                self.push(Value::Tuple(items))
            }
            b't' => self.above_mark().and_then(|items| self.push(Value::Tuple(items))),
            b'l' | 0x91 => self.above_mark().and_then(|items| self.push(Value::List(items))),
            b'd' => self.above_mark().and_then(paired).and_then(|pairs| self.push(Value::Dict(pairs))),
            b'a' => self.pop().and_then(|item| self.append(vec![item])),
            b'e' | 0x90 => self.above_mark().and_then(|items| self.append(items)),
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.insert(vec![(key, value)])
            }
            b'u' => self.above_mark().and_then(paired).and_then(|pairs| self.insert(pairs)),
            _ => bail!("torch.save writes no such opcode: the file is damaged or was written by something else"),
        }
    }

    fn append(&mut self, items: Vec<Id>) -> Result<()> {
        match self.top_value()? {
            Value::List(list) => list.extend(items),
            other => bail!("expected a list to append to, found {}", other.kind()),
        }
        Ok(())
    }

    fn insert(&mut self, pairs: Vec<(Id, Id)>) -> Result<()> {
        match self.top_value()? {
            Value::Dict(dict) => dict.extend(pairs),
            other => bail!("expected a dict to insert into, found {}", other.kind()),
        }
        Ok(())
    }

    fn put(&mut self, opcode: u8) -> Result<()> {
        self.step()?;
        let key = match opcode {
            0x94 => self.memo.len() as u32,
            opcode => self.memo_key(opcode == b'p', opcode == b'q')?,
        };
        let id = self.top()?;
        self.memo.insert(key, id);
        Ok(())
    }

    fn recall(&mut self, opcode: u8) -> Result<()> {
        let key = self.memo_key(opcode == b'g', opcode == b'h')?;
        let id =
            *self.memo.get(&key).with_context(|| format!("refers to the memo's entry {key}, which is not there"))?;
        self.push_id(id)
    }

    fn memo_key(&mut self, decimal: bool, short: bool) -> Result<u32> {
        if decimal {
            let digits = self.source.line()?;
            return digits.parse().with_context(|| format!("expected a memo's entry, found {digits:?}"));
        }
        Ok(if short {
            u8::from_le_bytes(self.source.array()?).into()
        } else {
            u32::from_le_bytes(self.source.array()?)
        })
    }

    fn global(&mut self, opcode: u8) -> Result<()> {
        let name = if opcode == b'c' {
            let (module, name) = (self.source.line()?, self.source.line()?);
            ensure!(module.len() + name.len() < MAX_NAME, "a name of more than {MAX_NAME} bytes");
            format!("{module}.{name}")
        } else {
            let (name, module) = (self.pop()?, self.pop()?);
            let (Value::Text(module), Value::Text(name)) = (self.value(module), self.value(name)) else {
                bail!("expected a module and a name, found other values");
            };
            ensure!(module.len() + name.len() < MAX_NAME, "a name of more than {MAX_NAME} bytes");
            format!("{module}.{name}")
        };
        self.push(Value::Global(name))
    }

    fn persistent(&mut self, opcode: u8) -> Result<()> {
        if opcode == b'P' {
            let line = self.source.line()?;
            self.push(Value::Text(line.to_owned()))?;
        }
        let id = self.pop()?;
        self.push(Value::Persistent(id))
    }

    fn call(&mut self, opcode: u8) -> Result<()> {
        if opcode == b'i' {
            self.global(b'c')?;
            let class = self.pop()?;
            let arguments = self.above_mark()?;
            self.push_id(class)?;
            self.push(Value::Tuple(arguments))?;
        } else if opcode == b'o' {
            let mut arguments = self.above_mark()?;
            ensure!(!arguments.is_empty(), "expected a class, found none");
            let class = arguments.remove(0);
            self.push_id(class)?;
            self.push(Value::Tuple(arguments))?;
        }
        let (arguments, function) = (self.pop()?, self.pop()?);
        let name = self.name_of(function).unwrap_or("a value that is no function").to_owned();
        let Value::Tuple(items) = self.value(arguments) else { bail!("the arguments of {name} are no tuple") };
        match (name.as_str(), items.first().copied()) {
            ("collections.OrderedDict", None) => self.push(Value::Dict(Vec::new())),
            ("collections.OrderedDict", Some(pairs)) => self.dict_of(pairs),
            ("torch.Size", Some(sides)) => self.push_id(sides),
            _ => {
                let function = CALLABLE
                    .into_iter()
                    .find(|allowed| *allowed == name)
                    .with_context(|| format!("it would call {name}; nothing in a file of weights may run, refused"))?;
                self.push(Value::Call { function, arguments, state: None })
            }
        }
    }

    /// `OrderedDict([[key, value], …])`, as Python 2 wrote it.
    fn dict_of(&mut self, pairs: Id) -> Result<()> {
        let (Value::Tuple(list) | Value::List(list)) = self.value(pairs) else { bail!("expected a list of pairs") };
        // Copies count as well: a list that was put down once can be copied many times.
        ensure!(self.steps + list.len() <= MAX_STEPS, "more than {MAX_STEPS} values: no state dict");
        let mut dict = Vec::with_capacity(list.len());
        for pair in list {
            match self.value(*pair) {
                Value::Tuple(pair) | Value::List(pair) if pair.len() == 2 => {
                    dict.extend(pair.first().copied().zip(pair.last().copied()));
                }
                other => bail!("expected a pair of key and value, found {}", other.kind()),
            }
        }
        self.steps += dict.len();
        self.push(Value::Dict(dict))
    }

    /// A function's name, or that of the class in an old file's description of a whole model.
    fn name_of(&self, function: Id) -> Option<&str> {
        match self.value(function) {
            Value::Global(name) => Some(name),
            Value::Persistent(id) => match self.value(*id) {
                Value::Tuple(items) => items.iter().find_map(|item| match self.value(*item) {
                    Value::Global(name) => Some(name.as_str()),
                    _ => None,
                }),
                _ => None,
            },
            _ => None,
        }
    }

    /// Sets the state of an object. The state of a dict is its `_metadata`, the versions of layers, which is not needed
    /// here.
    fn build(&mut self) -> Result<()> {
        let given = self.pop()?;
        match self.top_value()? {
            Value::Dict(_) => {}
            Value::Call { function: PARAMETER, state, .. } => *state = Some(given),
            other => bail!("it would set the state of {}; nothing in a file of weights may run, refused", other.kind()),
        }
        Ok(())
    }

    fn protocol(&mut self) -> Result<()> {
        let [version] = self.source.array()?;
        ensure!(version <= 5, "expected a pickle of protocol 5 or less, found {version}");
        Ok(())
    }

    fn frame(&mut self) -> Result<()> {
        let length = u64::from_le_bytes(self.source.array()?);
        let left = self.source.left().len();
        ensure!(length <= left as u64, "truncated: a frame of {length} bytes, {left} are left");
        Ok(())
    }

    fn step(&mut self) -> Result<()> {
        self.steps += 1;
        ensure!(self.steps <= MAX_STEPS, "more than {MAX_STEPS} values: no state dict");
        Ok(())
    }

    fn push(&mut self, value: Value) -> Result<()> {
        let id = Id(u32::try_from(self.values.len())?);
        self.push_id(id)?;
        self.values.push(value);
        Ok(())
    }

    fn push_id(&mut self, id: Id) -> Result<()> {
        self.step()?;
        self.stack.push(id);
        Ok(())
    }

    fn top(&self) -> Result<Id> {
        let floor = self.marks.last().copied().unwrap_or(0);
        self.stack.get(floor..).and_then(<[Id]>::last).copied().context("expected a value, found an empty stack")
    }

    fn pop(&mut self) -> Result<Id> {
        let id = self.top()?;
        self.stack.pop();
        Ok(id)
    }

    fn value(&self, id: Id) -> &Value {
        self.values.get(id.0 as usize).unwrap_or(&Value::None)
    }

    fn top_value(&mut self) -> Result<&mut Value> {
        let id = self.top()?;
        self.values.get_mut(id.0 as usize).context("expected a value, found none")
    }

    fn above_mark(&mut self) -> Result<Vec<Id>> {
        let mark = self.marks.pop().context("expected a mark, found none")?;
        // Drained, because `split_off` may keep the whole stack's capacity, which a hostile file can have made large.
        Ok(self.stack.drain(mark.min(self.stack.len())..).collect())
    }
}

fn paired(items: Vec<Id>) -> Result<Vec<(Id, Id)>> {
    ensure!(items.len().is_multiple_of(2), "expected pairs of key and value, found {} values", items.len());
    Ok(items.chunks(2).filter_map(|pair| pair.first().copied().zip(pair.last().copied())).collect())
}
