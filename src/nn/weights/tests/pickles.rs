//! Pickles written by hand, opcode by opcode.

use super::super::pickle::{Id, PARAMETER, Pickle, Value};
use super::message;

/// A value as Python would print it.
fn shown(pickle: &Pickle, id: Id) -> String {
    let all = |ids: &[Id]| ids.iter().map(|&id| shown(pickle, id)).collect::<Vec<_>>().join(", ");
    match pickle.get(id) {
        Value::Tuple(items) => format!("({})", all(items)),
        Value::List(items) => format!("[{}]", all(items)),
        Value::Dict(pairs) => {
            let pairs = pairs.iter().map(|&(key, value)| format!("{}: {}", shown(pickle, key), shown(pickle, value)));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
        }
        Value::Int(int) => int.to_string(),
        Value::Text(text) => format!("{text:?}"),
        Value::Global(name) => name.clone(),
        Value::Call { function, arguments, .. } => format!("{function}{}", shown(pickle, *arguments)),
        Value::Persistent(id) => format!("<{}>", shown(pickle, *id)),
        other => format!("{other:?}"),
    }
}

fn read(bytes: &[u8]) -> String {
    let pickle = Pickle::read(bytes).unwrap_or_else(|error| panic!("{}: {error:#}", bytes.escape_ascii()));
    assert_eq!(pickle.length, bytes.len());
    shown(&pickle, pickle.root)
}

fn refused(bytes: &[u8]) -> String {
    message(Pickle::read(bytes))
}

#[test]
fn constants_of_all_protocols() {
    assert_eq!(
        read(b"\x80\x02(NK\x07M\x01\x02J\xfe\xff\xff\xff\x88\x89t."),
        "(None, 7, 513, -2, Bool(true), Bool(false))"
    );
    assert_eq!(
        read(b"(I12\nI01\nI00\nL-123L\nF1.5\nS'abc'\nV\xc3\xa9\nt."),
        "(12, Bool(true), Bool(false), -123, Float(1.5), \"abc\", \"é\")"
    );
    assert_eq!(
        read(b"(X\x02\0\0\0abU\x01cT\x01\0\0\0d\x8c\x01e\x8d\x01\0\0\0\0\0\0\0ft."),
        r#"("ab", "c", "d", "e", "f")"#
    );
    assert_eq!(read(b"(B\x01\0\0\0aC\x01bU\x01\xfft."), "(Bytes([97]), Bytes([98]), Bytes([255]))");
    assert_eq!(read(b"(G\x3f\xf0\0\0\0\0\0\0\x8a\x00\x8a\x01\xff\x8a\x02\x00\x01t."), "(Float(1.0), 0, -1, 256)");
    assert_eq!(read(b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."), 0x1950_a86a_20f9_469c_fc6c_i128.to_string());
}

#[test]
fn containers_are_filled_after_they_are_put_down() {
    assert_eq!(read(b"}q\x00(K\x01K\x02K\x03K\x04uK\x05K\x06s."), "{1: 2, 3: 4, 5: 6}");
    assert_eq!(read(b"]r\x09\0\0\0(K\x01K\x02eK\x03aj\x09\0\0\x000."), "[1, 2, 3]");
    assert_eq!(read(b"(K\x01K\x02l(K\x01K\x02d\x86."), "([1, 2], {1: 2})");
    assert_eq!(read(b"K\x01K\x02K\x03\x87."), "(1, 2, 3)");
    assert_eq!(read(b"K\x01\x85p7\n0g7\n2\x86."), "((1), (1))");
    assert_eq!(read(b"\x80\x04\x95\x06\0\0\0\0\0\0\0]\x94K\x01a."), "[1]");
    assert_eq!(read(b"(K\x01K\x021)0]."), "[]");
}

#[test]
fn names_stay_names_and_allowed_calls_are_only_noted() {
    assert_eq!(read(b"ctorch\nFloatStorage\n."), "torch.FloatStorage");
    assert_eq!(read(b"\x8c\x05torch\x8c\x04Size\x93."), "torch.Size");
    assert_eq!(read(b"ctorch\nSize\nK\x02K\x03\x86\x85R."), "(2, 3)");
    assert_eq!(read(b"ccollections\nOrderedDict\n)R(K\x01K\x02u}b."), "{1: 2}", "its state is dropped");
    assert_eq!(read(b"ccollections\nOrderedDict\n(](K\x01K\x02latR."), "{1: 2}");
    assert_eq!(read(b"ctorch._utils\n_rebuild_tensor\nK\x01\x85R."), "torch._utils._rebuild_tensor(1)");
    assert_eq!(read(b"(ctorch\nFloatStorage\nX\x01\0\0\0ktQ."), r#"<(torch.FloatStorage, "k")>"#);
    assert_eq!(read(b"P('storage', 0)\n."), r#"<"('storage', 0)">"#);
    let parameter = Pickle::read(b"ctorch.nn.parameter\nParameter\n)\x81K\x05\x85b.").expect("reads");
    let Value::Call { function: PARAMETER, state: Some(state), .. } = parameter.get(parameter.root) else { panic!() };
    assert_eq!(shown(&parameter, *state), "(5)");
}

#[test]
fn nothing_is_called() {
    let system = "would call os.system; nothing in a file of weights may run, refused";
    assert!(refused(b"cos\nsystem\nX\x02\0\0\0id\x85R.").contains(system));
    assert!(refused(b"\x8c\x02os\x8c\x06system\x93\x8c\x02id\x85R.").contains(system));
    assert!(refused(b"cos\nsystem\n)\x81.").contains(system));
    assert!(refused(b"(S'id'\nios\nsystem\n.").contains(system));
    assert!(refused(b"(cos\nsystem\nS'id'\no.").contains(system));
    assert!(refused(b"ctorch\nFloatStorage\nK\x01\x85R.").contains("would call torch.FloatStorage"));
    assert!(refused(b"K\x01)R.").contains("would call a value that is no function"));
    assert!(refused(b"cos\nsystem\n}b.").contains("it would set the state of the name os.system"));
    assert!(refused(b"\x82\x01.").contains("torch.save writes no such opcode"), "registered extensions");
}

#[test]
fn damage_is_an_error_that_says_where() {
    let whole = b"\x80\x02}q\x00(X\x01\0\0\0aK\x01\x8a\x02\x00\x01G\x3f\xf0\0\0\0\0\0\0u.";
    assert!(Pickle::read(whole).is_ok());
    for length in 0..whole.len() {
        assert!(Pickle::read(&whole[..length]).is_err(), "{length}");
    }
    assert_eq!(
        refused(b"K\x01Xabcdef."),
        "at byte 2 of the pickle, opcode 0x58: truncated: 1684234849 bytes expected, 3 are left"
    );
    assert!(refused(b"\x80\x06.").contains("protocol 5 or less, found 6"));
    assert!(refused(b"h\x05.").contains("the memo's entry 5, which is not there"));
    assert!(refused(b"(K\x01K\x02K\x03d.").contains("found 3 values"));
    assert!(refused(b"K\x01(0R.").contains("empty stack") && refused(b"(K\x01\x86.").contains("empty stack"));
    assert!(refused(b"K\x01K\x02a.").contains("expected a list to append to, found an int"));
    assert!(refused(b")K\x02K\x03s.").contains("expected a dict to insert into, found a tuple"));
    assert!(refused(b"t.").contains("expected a mark") && refused(b"Ix\n.").contains("expected an int, found \"x\""));
    assert!(refused(b"\x8a\x11aaaaaaaaaaaaaaaaa.").contains("an int of 17 bytes, 16 at most"));
    assert!(
        refused(b"\x8b\xff\xff\xff\xff.").contains("truncated")
            && refused(b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff.").contains("truncated")
    );
    assert!(refused(b"\x95\xff\0\0\0\0\0\0\0N.").contains("a frame of 255 bytes, 2 are left"));
}

#[test]
fn bombs_do_not_go_off() {
    let repeated = |start: &[u8], piece: &[u8], count: usize, end: &[u8]| [start, &piece.repeat(count), end].concat();
    // Each tuple holds the last one twice: 2^100,000 values if copied, and as deep as that if walked.
    assert!(Pickle::read(&repeated(b"N", b"2\x86", 100_000, b".")).is_ok());
    assert!(Pickle::read(&repeated(b"N", b"\x85", 1_000_000, b".")).is_ok());
    assert!(read(b"]q\x00h\x00a0N.").contains("None"), "a list in itself");
    assert!(refused(&repeated(b"", b"N", 3 << 20, b".")).contains("more than 2097152 values"));
    assert!(refused(&repeated(b"", b"(", 3 << 20, b".")).contains("more than 2097152 values"));
    assert!(refused(&repeated(b"Nq\x00", b"h\x00", 3 << 20, b".")).contains("more than 2097152 values"));
    // A thousand pairs, copied into dict after dict by 30 bytes each.
    let pairs = repeated(b"](", b"(NNt", 1000, b"eq\x000");
    let copies = repeated(&pairs, b"ccollections\nOrderedDict\nh\x00\x85R", 3000, b".");
    assert!(refused(&copies).contains("more than 2097152 values"));
    // A large stack, emptied; then tuples that must not keep its room.
    assert!(
        Pickle::read(&[repeated(b"(", b"N", 1 << 20, b"1"), repeated(b"", b"(t0", 300_000, b"N.")].concat()).is_ok()
    );
    // A long name, which five bytes more would put together again.
    let long = [b"X\0\0\x10\0".as_slice(), &vec![b'a'; 1 << 20], b"q\x01h\x01\x93."].concat();
    assert!(refused(&long).contains("a name of more than 512 bytes"));
}
