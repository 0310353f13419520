//go:build !linux && !darwin

package main

import (
	"errors"
	"os"
)

func terminalSize(*os.File) (rows, columns uint16, err error) { return 0, 0, errors.ErrUnsupported }

func makeRaw(*os.File) (restore func(), err error) { return nil, errors.ErrUnsupported }

func watchSize(*os.File, func(rows, columns uint16)) (stop func()) { return func() {} }
