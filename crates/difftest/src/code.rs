#![forbid(unsafe_code)]
//! A small assembler: bytes with labels that are filled in at the end.

/// A place in the code that is known later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label(usize);

/// How a label's address goes into the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fill {
    /// Distance from behind the field, 32 bits.
    Relative,
    /// The address itself, less a base.
    Absolute(u32),
}

/// Code for one stretch of addresses.
#[derive(Clone, Debug)]
pub struct Code {
    origin: u32,
    bytes: Vec<u8>,
    labels: Vec<Option<u32>>,
    fills: Vec<(usize, Label, Fill)>,
}

impl Code {
    /// Empty code that begins at `origin`.
    #[must_use]
    pub const fn at(origin: u32) -> Self {
        Self { origin, bytes: Vec::new(), labels: Vec::new(), fills: Vec::new() }
    }

    /// Address of the next byte.
    #[must_use]
    pub fn here(&self) -> u32 {
        self.origin.wrapping_add(self.bytes.len() as u32)
    }

    /// Appends bytes.
    pub fn put(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Appends 32 bits.
    pub fn put32(&mut self, value: u32) {
        self.put(&value.to_le_bytes());
    }

    /// A label that has no address yet.
    pub fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len() - 1)
    }

    /// Gives `label` the address of the next byte.
    pub fn bind(&mut self, label: Label) {
        self.labels[label.0] = Some(self.here());
    }

    /// Gives `label` an address of the caller's choice.
    pub fn bind_at(&mut self, label: Label, address: u32) {
        self.labels[label.0] = Some(address);
    }

    /// Appends the distance to `label` from behind the field.
    pub fn put_relative(&mut self, label: Label) {
        self.fills.push((self.bytes.len(), label, Fill::Relative));
        self.put32(0);
    }

    /// Appends the address of `label`, less `base`.
    pub fn put_absolute(&mut self, label: Label, base: u32) {
        self.fills.push((self.bytes.len(), label, Fill::Absolute(base)));
        self.put32(0);
    }

    /// Replaces the byte at `address`.
    pub fn set(&mut self, address: u32, byte: u8) {
        self.bytes[address.wrapping_sub(self.origin) as usize] = byte;
    }

    /// Address of `label`, if it has one.
    #[must_use]
    pub fn address_of(&self, label: Label) -> Option<u32> {
        self.labels[label.0]
    }

    /// The finished bytes.
    ///
    /// # Panics
    /// If a label that is used was never bound.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        for (at, label, fill) in std::mem::take(&mut self.fills) {
            let target = self.labels[label.0].expect("every label that is used is bound");
            let value = match fill {
                Fill::Relative => target.wrapping_sub(self.origin.wrapping_add(at as u32 + 4)),
                Fill::Absolute(base) => target.wrapping_sub(base),
            };
            self.bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        }
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_filled_both_ways() {
        let mut code = Code::at(0x1000);
        let (start, end) = (code.label(), code.label());
        code.bind(start);
        code.put(&[0xe9]);
        code.put_relative(end);
        code.put(&[0xe9]);
        code.put_relative(start);
        code.bind(end);
        code.put_absolute(end, 0x1000);
        let bytes = code.finish();
        assert_eq!(bytes, [0xe9, 5, 0, 0, 0, 0xe9, 0xf6, 0xff, 0xff, 0xff, 0x0a, 0, 0, 0]);
    }
}
