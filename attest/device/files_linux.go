package device

import (
	"fmt"
	"io"
	"os"
)

// files are the operations that are needed on device nodes and on configfs,
// where making a directory makes files appear in it and where reading one does
// work.
type files interface {
	stat(path string) error
	mkdir(path string) error
	rmdir(path string) error
	// read returns the whole file, or an error if it is longer than limit.
	read(path string, limit int) ([]byte, error)
	write(path string, data []byte) error
	// open opens a device node for questions and answers.
	open(path string) (io.ReadWriteCloser, error)
}

// kernel is the real thing.
type kernel struct{}

func (kernel) stat(path string) error {
	_, err := os.Stat(path)
	return err
}

func (kernel) mkdir(path string) error { return os.Mkdir(path, 0o700) }

func (kernel) rmdir(path string) error { return os.Remove(path) }

func (kernel) read(path string, limit int) (data []byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err = io.ReadAll(io.LimitReader(f, int64(limit)+1))
	if err != nil {
		return nil, err
	}
	if len(data) > limit {
		return nil, fmt.Errorf("%s: more than %d bytes", path, limit)
	}
	return data, nil
}

// write makes one call of write, since each counts as a change of its own, and
// never creates a file.
func (kernel) write(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if closed := f.Close(); err == nil {
		err = closed
	}
	return err
}

func (kernel) open(path string) (io.ReadWriteCloser, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	return f, nil
}
