// windows-layer reads the tar of an image's layer from standard input with the library that containerd on Windows reads it with. It prints lines
// of JSON: who it asks as, then for each file and folder the descriptor that Windows would be given, and what AccessCheck allows by it.
package main

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"os"

	"github.com/Microsoft/go-winio"
	"github.com/Microsoft/go-winio/backuptar"
)

// Entry is what the library makes of a file or folder of the layer.
type Entry struct {
	Name       string `json:"name"`
	Attributes uint32 `json:"attributes"`
	// In SDDL; none where Windows is given none.
	Descriptor *string `json:"descriptor"`
	// What each token may do, where there is a descriptor.
	Ordinary      []string `json:"ordinary"`
	Administrator []string `json:"administrator"`
}

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		log.Fatal(err)
	}
}

func run(layer io.Reader, out io.Writer) error {
	tokens, err := open()
	if err != nil {
		return err
	}
	asker, err := describe(tokens.ordinary)
	if err != nil {
		return err
	}
	lines := json.NewEncoder(out)
	if err := lines.Encode(asker); err != nil {
		return err
	}
	archive := tar.NewReader(layer)
	header, err := archive.Next()
	for err == nil {
		entry, next, failed := read(archive, header, tokens)
		if failed != nil && !errors.Is(failed, io.EOF) {
			return fmt.Errorf("%s: %w", header.Name, failed)
		}
		if err := lines.Encode(entry); err != nil {
			return err
		}
		header, err = next, failed
	}
	if !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// read does with an entry what hcsshim does when it imports a layer: it asks the library for the file's attributes and for the stream that
// Windows' BackupWrite makes the file of. The library reads on to the next entry, which is returned too, or io.EOF after the last one.
func read(archive *tar.Reader, header *tar.Header, tokens tokens) (Entry, *tar.Header, error) {
	name, _, info, err := backuptar.FileInfoFromHeader(header)
	if err != nil {
		return Entry{}, nil, err
	}
	entry := Entry{Name: name, Attributes: info.FileAttributes}
	var stream bytes.Buffer
	next, end := backuptar.WriteBackupStreamFromTarFile(&stream, archive, header)
	if end != nil && !errors.Is(end, io.EOF) {
		return entry, nil, end
	}
	descriptor, err := security(&stream)
	if err != nil {
		return entry, nil, err
	}
	if descriptor == nil {
		return entry, next, end
	}
	text, err := winio.SecurityDescriptorToSddl(descriptor)
	if err != nil {
		return entry, nil, err
	}
	entry.Descriptor = &text
	if entry.Ordinary, err = allowed(descriptor, tokens.ordinary); err != nil {
		return entry, nil, err
	}
	if entry.Administrator, err = allowed(descriptor, tokens.administrator); err != nil {
		return entry, nil, err
	}
	return entry, next, end
}

// security is the descriptor in the stream, or nil.
func security(stream io.Reader) ([]byte, error) {
	reader := winio.NewBackupStreamReader(stream)
	for {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		if header.Id == winio.BackupSecurity {
			return io.ReadAll(reader)
		}
	}
}
