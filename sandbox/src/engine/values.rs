//! Values of WebAssembly and the slots of 8 bytes that hold them as arguments and results.

use wasmtime::{Val, ValType};

use crate::linking::ValueType;

/// The engine's name for a type.
pub(super) fn val_type(ty: ValueType) -> ValType {
    match ty {
        ValueType::I32 => ValType::I32,
        ValueType::I64 => ValType::I64,
        ValueType::F32 => ValType::F32,
        ValueType::F64 => ValType::F64,
    }
}

/// The value of this type in a slot.
#[expect(clippy::cast_possible_truncation, reason = "a 32-bit value lies in the low half of its slot")]
pub(super) fn from_slot(ty: ValueType, slot: u64) -> Val {
    match ty {
        ValueType::I32 => Val::I32((slot as u32).cast_signed()),
        ValueType::I64 => Val::I64(slot.cast_signed()),
        ValueType::F32 => Val::F32(slot as u32),
        ValueType::F64 => Val::F64(slot),
    }
}

/// The slot of a value; 0 for one that has none, such as a reference.
pub(super) fn to_slot(value: &Val) -> u64 {
    match value {
        Val::I32(v) => u64::from(v.cast_unsigned()),
        Val::I64(v) => v.cast_unsigned(),
        Val::F32(v) => u64::from(*v),
        Val::F64(v) => *v,
        _ => 0,
    }
}
