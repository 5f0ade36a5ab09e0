//! The provider on a real libvirtd, in the lab's operator machine.
