//! Guest code written down as bytes, with names for places in it.

/// Code for one address.
#[derive(Clone, Debug, Default)]
pub struct Code {
    start: u32,
    bytes: Vec<u8>,
    fixups: Vec<(usize, &'static str)>,
    labels: Vec<(&'static str, u32)>,
}

impl Code {
    /// Nothing yet, for `start`.
    #[must_use]
    pub fn at(start: u32) -> Self {
        Self { start, ..Self::default() }
    }

    /// Appends bytes.
    pub fn put(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend(bytes);
        self
    }

    /// Appends a little-endian dword.
    pub fn word(&mut self, word: u32) -> &mut Self {
        self.put(&word.to_le_bytes())
    }

    /// Appends an opcode with a dword.
    pub fn op(&mut self, opcode: &[u8], word: u32) -> &mut Self {
        self.put(opcode).word(word)
    }

    /// Gives the present place a name.
    pub fn label(&mut self, name: &'static str) -> &mut Self {
        self.labels.push((name, self.here()));
        self
    }

    /// Address of the present place.
    #[must_use]
    pub fn here(&self) -> u32 {
        self.start + self.bytes.len() as u32
    }

    /// Appends an opcode with a 32-bit displacement to `to`.
    pub fn near(&mut self, opcode: &[u8], to: &'static str) -> &mut Self {
        self.put(opcode);
        self.fixups.push((self.bytes.len(), to));
        self.word(0)
    }

    /// Appends an opcode with a 32-bit displacement to an address.
    pub fn to(&mut self, opcode: &[u8], address: u32) -> &mut Self {
        self.put(opcode);
        let next = self.here() + 4;
        self.word(address.wrapping_sub(next))
    }

    /// The address of a name.
    ///
    /// # Panics
    /// When nothing has the name.
    #[must_use]
    pub fn address(&self, name: &str) -> u32 {
        let found = self.labels.iter().find(|(label, _)| *label == name);
        found.unwrap_or_else(|| panic!("no label {name}")).1
    }

    /// The bytes.
    ///
    /// # Panics
    /// When a branch leads to a name that nothing has.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        for (at, to) in &self.fixups {
            let from = self.start + *at as u32 + 4;
            bytes[*at..*at + 4].copy_from_slice(&self.address(to).wrapping_sub(from).to_le_bytes());
        }
        bytes
    }
}
