package judge

import (
	"fmt"
	"io"
	"os"
)

// Name is what the program is called if it is started as a verifier, for programs
// that are something else as well.
const Name = "boxverify"

// Keep turns the process into a verifier if args, those of the program, say so.
// Where it returns, the program is none.
func Keep(args []string) {
	if len(args) == 1 && args[0] == Name {
		os.Exit(Main(os.Stdin, os.Stdout))
	}
}

// Main gives up what is not needed to judge one caller, and judges one. It returns
// the exit code, which says no more than that it answered or not.
func Main(stdin io.Reader, stdout io.Writer) int {
	if err := confine(memoryLimit); err != nil {
		// Nobody reads it but whoever starts the program by hand.
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if Serve(stdin, stdout) != nil {
		return 1
	}
	return 0
}
