//go:build !linux

package process

import "errors"

func groupMembers(int) ([]int, error) {
	return nil, errors.New("process: this system does not tell which processes there are")
}
