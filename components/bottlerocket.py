"""Settings of the nodes' operating system, and of their disks."""

DATA_DEVICE = "/dev/xvdb"
"""Images, logs and volumes; the first device, /dev/xvda, holds the read-only system."""

# Layers of many gigabytes are fetched in parts and unpacked side by side:
# https://bottlerocket.dev/en/os/1.53.x/api/settings/container-runtime-plugins. For images in ECR, 10 to 20
# downloads at a time are advised: https://github.com/awslabs/soci-snapshotter/blob/main/docs/parallel-mode.md
SOCI_PARALLEL_PULL = """\
[settings.container-runtime]
snapshotter = "soci"

[settings.container-runtime-plugins.soci-snapshotter]
pull-mode = "parallel-pull-unpack"

[settings.container-runtime-plugins.soci-snapshotter.parallel-pull-unpack]
max-concurrent-downloads-per-image = 20
concurrent-download-chunk-size = "16mb"
max-concurrent-unpacks-per-image = 12
discard-unpacked-layers = true
"""
