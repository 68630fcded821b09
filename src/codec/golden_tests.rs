//! Columns of every kind through every codec, compared by bits; damaged bytes through every decoder.
