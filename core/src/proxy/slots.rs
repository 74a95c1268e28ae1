//! Values with numbers, which are given out again.

/// Values with numbers.
#[derive(Debug)]
pub struct Slots<T> {
    values: Vec<Option<T>>,
    free: Vec<usize>,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self { values: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slots<T> {
    /// Adds a value. Returns its number, which no other value has until it is removed.
    pub fn add(&mut self, value: T) -> usize {
        if let Some(number) = self.free.pop()
            && let Some(slot) = self.values.get_mut(number)
        {
            *slot = Some(value);
            return number;
        }
        self.values.push(Some(value));
        self.values.len() - 1
    }

    /// Returns the value with this number.
    pub fn get(&self, number: usize) -> Option<&T> {
        self.values.get(number)?.as_ref()
    }

    /// Returns the value with this number.
    pub fn get_mut(&mut self, number: usize) -> Option<&mut T> {
        self.values.get_mut(number)?.as_mut()
    }

    /// Returns a number above that of each value.
    pub fn end(&self) -> usize {
        self.values.len()
    }

    /// Iterates over all values.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.values.iter().flatten()
    }

    /// Drops the value with this number in its place.
    pub fn drop(&mut self, number: usize) {
        if let Some(slot) = self.values.get_mut(number)
            && slot.is_some()
        {
            *slot = None;
            self.free.push(number);
        }
    }

    /// Removes the value with this number.
    pub fn remove(&mut self, number: usize) -> Option<T> {
        let value = self.values.get_mut(number)?.take()?;
        self.free.push(number);
        Some(value)
    }
}
