//go:build !(js && wasm)

package main

import (
	"fmt"
	"os"
)

// main says what this program is for; the other file is the program.
func main() {
	fmt.Fprintln(os.Stderr, "verify: built for WebAssembly only: GOOS=js GOARCH=wasm go build ./web/verify")
	os.Exit(1)
}
