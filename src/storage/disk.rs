//! The real disk: the only module that names `std::fs` and `mmap`.
