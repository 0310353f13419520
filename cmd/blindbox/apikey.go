package main

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/blindbox/blindbox/internal/catalogue"
	"github.com/blindbox/blindbox/policy"
)

const keyVariable = "BLINDBOX_API_KEY"

// maxKey bounds a key in bytes, as the box does.
const maxKey = 512

func addKeyFlag(cmd *cobra.Command, file *string) {
	cmd.Flags().StringVar(file, "api-key-file", "", "file with the API key (default: "+keyVariable+"); never on the command line")
}

// apiKey returns the key from the file, or else from the environment, or "".
func (s *session) apiKey(file string) (string, error) {
	bad := func(seen string) error {
		return fail(catalogue.CodeKeyFile, "api key", seen, "one line of 16 to 512 printable characters")
	}
	key, source := s.env(keyVariable), keyVariable
	if file != "" {
		data, err := s.readFile(file, 2*maxKey)
		if err != nil {
			return "", bad(refusalOf(err).seen)
		}
		key, source = string(bytes.TrimRight(data, "\r\n")), file
	}
	switch {
	case key == "" && file == "":
		return "", nil
	case key == "":
		return "", bad(source + " is empty")
	case len(key) < policy.MinKey || len(key) > maxKey:
		return "", bad(fmt.Sprintf("%s holds a key of %d characters", source, len(key)))
	case strings.IndexFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }) >= 0:
		// Such a character could end the header that the key is sent in.
		return "", bad(source + " holds a space, a control character or a second line")
	}
	return key, nil
}

// developerKey returns the key for boxes of `dev` on this machine. It is made
// once, so that a box that is started again has the same policy, and its trust
// file stays good.
func developerKey(dir string) (key, file string, err error) {
	file = filepath.Join(dir, "dev.key")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", "", err
	}
	data, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		data, err = createKey(dir, file)
	}
	if err != nil {
		return "", "", err
	}
	key = strings.TrimSpace(string(data))
	if len(key) < policy.MinKey || len(key) > maxKey {
		return "", "", errors.New(file + " is damaged: remove it")
	}
	return key, file, nil
}

// createKey writes the file whole and then gives it its name, so that of two
// processes that start together both end up with the same key.
func createKey(dir, file string) ([]byte, error) {
	secret := make([]byte, 24)
	if _, err := rand.Read(secret); err != nil {
		return nil, err
	}
	temporary, err := os.CreateTemp(dir, "dev.key.*") // mode 0600
	if err != nil {
		return nil, err
	}
	defer os.Remove(temporary.Name())
	_, err = temporary.WriteString("dev-" + base64.RawURLEncoding.EncodeToString(secret) + "\n")
	if closing := temporary.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return nil, err
	}
	if err := os.Link(temporary.Name(), file); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, err
	}
	return os.ReadFile(file)
}
