//! Where in a PE file are the bytes that a program would see at an address?
//!
//! Reads sections and data directories of a PE32+ file, and then only the pieces that are asked for: memory does not grow with
//! the program. Whether the program can run is `pe`'s question; here a file only has to be readable. What a section has in
//! memory but not in the file (zeroes) counts as absent.

use memchr::memmem;
use object::LittleEndian as LE;
use object::pe::{IMAGE_NT_OPTIONAL_HDR64_MAGIC, ImageDataDirectory, ImageDosHeader, ImageNtHeaders64, ImageSectionHeader};
use object::pod;
use std::io::{self, Read, Seek, SeekFrom};
use thiserror::Error;

/// The loader of Windows refuses more.
const MOST_SECTIONS: u16 = 96;
/// Bytes that are looked at together when something is searched: a multiple of every alignment that is asked for.
const CHUNK: usize = 64 * 1024;

/// The file cannot be read as a PE file.
#[derive(Debug, Error)]
pub enum PeError {
    /// Reading failed.
    #[error("the program cannot be read: {0}")]
    Read(#[from] io::Error),
    /// It contradicts itself, ends early or is no PE file for 64 bits.
    #[error("the program's PE structure is damaged: {0}")]
    Damaged(&'static str),
}

/// A part of the file, with its address in memory (relative to the program's start, as all addresses here).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Section {
    /// Its first bytes of name, such as `.data`, padded with zeroes.
    pub name: [u8; 8],
    /// `IMAGE_SCN_*`.
    pub characteristics: u32,
    /// Its address.
    pub address: u32,
    /// Bytes that are in memory and in the file.
    pub size: u32,
    offset: u32,
}

/// A PE32+ file, opened.
#[derive(Debug)]
pub struct PeFile<F> {
    file: F,
    image_base: u64,
    sections: Vec<Section>,
    directories: Vec<(u32, u32)>,
}

impl<F: Read + Seek> PeFile<F> {
    /// Reads the headers.
    ///
    /// # Errors
    /// It is no readable PE32+ file.
    pub fn open(mut file: F) -> Result<Self, PeError> {
        let mut header = [0; size_of::<ImageDosHeader>()];
        read_at(&mut file, 0, &mut header)?;
        let dos = ImageDosHeader::parse(&header[..]).map_err(|_| PeError::Damaged("no DOS header"))?;
        let at = u64::from(dos.nt_headers_offset());
        let mut header = [0; size_of::<ImageNtHeaders64>()];
        read_at(&mut file, at, &mut header)?;
        let (nt, _) = pod::from_bytes::<ImageNtHeaders64>(&header).map_err(|()| PeError::Damaged("no PE header"))?;
        if nt.signature.get(LE) != object::pe::IMAGE_NT_SIGNATURE || nt.optional_header.magic.get(LE) != IMAGE_NT_OPTIONAL_HDR64_MAGIC {
            return Err(PeError::Damaged("no PE header for 64 bits"));
        }
        let optional_size = usize::from(nt.file_header.size_of_optional_header.get(LE));
        let listed = optional_size.saturating_sub(size_of_val(&nt.optional_header)) / size_of::<ImageDataDirectory>();
        let listed = listed.min(nt.optional_header.number_of_rva_and_sizes.get(LE) as usize).min(16);
        let mut bytes = vec![0; listed * size_of::<ImageDataDirectory>()];
        read_at(&mut file, at + header.len() as u64, &mut bytes)?;
        let directories = pod::slice_from_all_bytes::<ImageDataDirectory>(&bytes).unwrap_or_default();
        let directories = directories.iter().map(|entry| (entry.virtual_address.get(LE), entry.size.get(LE))).collect();
        let count = nt.file_header.number_of_sections.get(LE);
        if count == 0 || count > MOST_SECTIONS {
            return Err(PeError::Damaged("it has no sections, or more than 96"));
        }
        let table = at + 4 + size_of_val(&nt.file_header) as u64 + optional_size as u64;
        let sections = read_sections(&mut file, table, count)?;
        Ok(Self { image_base: nt.optional_header.image_base.get(LE), file, sections, directories })
    }

    /// The sections, as they are listed.
    pub fn sections(&self) -> &[Section] {
        &self.sections
    }

    /// What is added to an address here to get one as code and data name it.
    pub fn image_base(&self) -> u64 {
        self.image_base
    }

    /// Address and size of a data directory (`IMAGE_DIRECTORY_ENTRY_*`), if it has one.
    pub fn directory(&self, entry: usize) -> Option<(u32, u32)> {
        self.directories.get(entry).copied().filter(|(address, _)| *address != 0)
    }

    /// How many bytes are in the file from an address to the end of its section.
    pub fn available(&self, address: u64) -> u64 {
        self.place(address).map_or(0, |(_, available)| available)
    }

    /// Fills the whole buffer from an address.
    ///
    /// # Errors
    /// Not all of it is in one section of the file.
    pub fn read(&mut self, address: u64, buffer: &mut [u8]) -> Result<(), PeError> {
        match self.place(address) {
            Some((offset, available)) if available >= buffer.len() as u64 => read_at(&mut self.file, offset, buffer),
            _ => Err(PeError::Damaged("an address points outside of the file")),
        }
    }

    /// The text at an address, which ends with a zero byte; none if it is longer than `most` bytes or has no end.
    ///
    /// # Errors
    /// Reading failed.
    pub fn text(&mut self, address: u64, most: usize) -> Result<Option<String>, PeError> {
        let wanted = usize::try_from(self.available(address)).unwrap_or(usize::MAX).min(most + 1);
        let mut bytes = vec![0; wanted];
        self.read(address, &mut bytes)?;
        let end = bytes.iter().position(|byte| *byte == 0);
        Ok(end.map(|end| String::from_utf8_lossy(&bytes[..end]).into_owned()))
    }

    /// The first address in a section, a multiple of `align` from its begin, at which `start` stands and `fits` likes these and the bytes
    /// that follow, `window` in all.
    ///
    /// # Errors
    /// Reading failed.
    pub fn find(
        &mut self,
        section: Section,
        align: usize,
        start: &[u8],
        window: usize,
        fits: impl Fn(&[u8]) -> bool,
    ) -> Result<Option<u64>, PeError> {
        let (start, mut buffer) = (memmem::Finder::new(start), vec![0; CHUNK + window]);
        let size = section.size as usize;
        for begin in (0..size).step_by(CHUNK) {
            let length = (size - begin).min(buffer.len());
            let address = u64::from(section.address) + begin as u64;
            self.read(address, &mut buffer[..length])?;
            let mut places = start.find_iter(&buffer[..length]).filter(|at| at % align == 0 && *at < CHUNK);
            if let Some(at) = places.find(|at| buffer[..length].get(*at..at + window).is_some_and(&fits)) {
                return Ok(Some(address + at as u64));
            }
        }
        Ok(None)
    }

    fn place(&self, address: u64) -> Option<(u64, u64)> {
        let holds = |section: &&Section| {
            let start = u64::from(section.address);
            (start..start + u64::from(section.size)).contains(&address)
        };
        let section = self.sections.iter().find(holds)?;
        let inside = address - u64::from(section.address);
        Some((u64::from(section.offset) + inside, u64::from(section.size) - inside))
    }
}

fn read_sections(file: &mut (impl Read + Seek), table: u64, count: u16) -> Result<Vec<Section>, PeError> {
    let length = file.seek(SeekFrom::End(0))?;
    let mut bytes = vec![0; usize::from(count) * size_of::<ImageSectionHeader>()];
    read_at(file, table, &mut bytes)?;
    let headers = pod::slice_from_all_bytes::<ImageSectionHeader>(&bytes).unwrap_or_default();
    let section = |header: &ImageSectionHeader| {
        let (offset, raw) = (header.pointer_to_raw_data.get(LE), header.size_of_raw_data.get(LE));
        let in_file = length.saturating_sub(offset.into()).min(raw.into());
        // A virtual size of 0 means that of the file (old linkers).
        let in_memory = Some(header.virtual_size.get(LE)).filter(|size| *size != 0).unwrap_or(raw);
        Section {
            name: header.name,
            characteristics: header.characteristics.get(LE),
            address: header.virtual_address.get(LE),
            size: u32::try_from(in_file).unwrap_or(u32::MAX).min(in_memory),
            offset,
        }
    };
    Ok(headers.iter().map(section).collect())
}

fn read_at(file: &mut (impl Read + Seek), offset: u64, buffer: &mut [u8]) -> Result<(), PeError> {
    file.seek(SeekFrom::Start(offset))?;
    file.read_exact(buffer).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => PeError::Damaged("it ends early"),
        _ => PeError::Read(error),
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use object::pe::{IMAGE_SCN_CNT_CODE, IMAGE_SCN_CNT_INITIALIZED_DATA, IMAGE_SCN_MEM_READ, IMAGE_SCN_MEM_WRITE};
    use std::io::Cursor;

    pub(crate) const DATA: u32 = IMAGE_SCN_CNT_INITIALIZED_DATA | IMAGE_SCN_MEM_READ | IMAGE_SCN_MEM_WRITE;
    pub(crate) const READ_ONLY: u32 = IMAGE_SCN_CNT_INITIALIZED_DATA | IMAGE_SCN_MEM_READ;
    pub(crate) const CODE: u32 = IMAGE_SCN_CNT_CODE | IMAGE_SCN_MEM_READ;
    pub(crate) const IMAGE_BASE: u64 = 0x1_4000_0000;

    /// A program of `pe::tests` with these sections (name, characteristics, address, content) and data directories.
    pub(crate) fn program(sections: &[(&str, u32, u32, &[u8])], directories: &[(usize, u32, u32)]) -> Vec<u8> {
        let mut pe = crate::pe::tests::program();
        pe[0x86..0x88].copy_from_slice(&(sections.len() as u16).to_le_bytes());
        pe[0x98 + 24..0x98 + 32].copy_from_slice(&IMAGE_BASE.to_le_bytes());
        for (entry, address, size) in directories {
            let at = 0x98 + 112 + 8 * entry;
            pe[at..at + 4].copy_from_slice(&address.to_le_bytes());
            pe[at + 4..at + 8].copy_from_slice(&size.to_le_bytes());
        }
        let mut offset = (pe.len() + 40 * sections.len()).next_multiple_of(512);
        for (name, characteristics, address, content) in sections {
            let mut padded = [0; 8];
            padded[..name.len()].copy_from_slice(name.as_bytes());
            pe.extend(padded);
            for value in [content.len() as u32, *address, content.len() as u32, offset as u32, 0, 0, 0, *characteristics] {
                pe.extend(value.to_le_bytes());
            }
            offset = (offset + content.len()).next_multiple_of(512);
        }
        for (_, _, _, content) in sections {
            pe.resize(pe.len().next_multiple_of(512), 0);
            pe.extend(*content);
        }
        pe
    }

    #[test]
    fn pieces_are_read_by_address() {
        let bytes = program(&[(".text", CODE, 0x1000, b"code"), (".data", DATA, 0x2000, b"hello\0world")], &[(1, 0x2000, 11)]);
        let mut file = PeFile::open(Cursor::new(&bytes)).expect("a PE file");
        assert_eq!((file.sections().len(), file.image_base()), (2, IMAGE_BASE));
        assert_eq!((file.directory(1), file.directory(2), file.directory(99)), (Some((0x2000, 11)), None, None));
        assert_eq!((file.available(0x2006), file.available(0x200b), file.available(0)), (5, 0, 0));
        assert_eq!(file.text(0x2000, 5).expect("readable").as_deref(), Some("hello"));
        assert_eq!(file.text(0x2000, 4).expect("readable"), None, "longer than wanted");
        assert_eq!(file.text(0x2006, 50).expect("readable"), None, "without an end");
        assert!(file.read(0x2006, &mut [0; 6]).is_err() && file.read(0x3000, &mut [0]).is_err());
    }

    #[test]
    fn something_is_found_also_across_the_chunks_that_are_read() {
        for at in [0, 16, CHUNK - 16, CHUNK, CHUNK + 32, 3 * CHUNK - 16] {
            let mut data = vec![0; 3 * CHUNK];
            data[at..at + 8].copy_from_slice(b"here it ");
            let bytes = program(&[(".data", DATA, 0x1000, &data)], &[]);
            let mut file = PeFile::open(Cursor::new(&bytes)).expect("a PE file");
            let section = file.sections()[0];
            let found = file.find(section, 16, b"here it ", 8, |_| true).expect("readable");
            assert_eq!(found, Some(0x1000 + at as u64));
            assert_eq!(file.find(section, 16, b"not here", 8, |_| true).expect("readable"), None);
        }
    }

    #[test]
    fn headers_that_lie_are_errors() {
        let good = program(&[(".data", DATA, 0x1000, b"x")], &[]);
        assert!(PeFile::open(Cursor::new(&good)).is_ok());
        for end in 0..0x98 + 240 + 40 {
            assert!(PeFile::open(Cursor::new(&good[..end])).is_err(), "cut at {end}");
        }
        for (at, value) in [(0, 0), (0x80, 0), (0x98, 0), (0x86, 0), (0x86, 97), (0x3f, 0xff)] {
            let mut bad = good.clone();
            bad[at] = value;
            assert!(PeFile::open(Cursor::new(&bad)).is_err(), "{value} at {at:#x}");
        }
    }
}
