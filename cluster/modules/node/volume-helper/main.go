// Volume-helper makes and removes the folders of local volumes. local-path-provisioner runs it in a
// pod of its own, with the folder in VOL_DIR and the action as a flag.
package main

import (
	"flag"
	"fmt"
	"os"
)

func main() {
	flag.String("p", "", "the folder; VOL_DIR says the same")
	flag.String("s", "", "requested size in bytes, which a folder cannot enforce")
	flag.String("m", "", "volume mode")
	action := flag.String("a", "", "create or delete")
	flag.Parse()
	if err := act(*action, os.Getenv("VOL_DIR")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func act(action, folder string) error {
	if folder == "" {
		return fmt.Errorf("VOL_DIR is empty: expected the volume's folder")
	}
	switch action {
	case "create":
		if err := os.MkdirAll(folder, 0o777); err != nil {
			return err
		}
		// Past the umask: the pod that mounts the volume runs as any user.
		return os.Chmod(folder, 0o777)
	case "delete":
		return os.RemoveAll(folder)
	}
	return fmt.Errorf("action %q: expected create or delete", action)
}
