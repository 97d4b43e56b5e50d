//! One pure file per provider: neutral to wire and back; the price table.
