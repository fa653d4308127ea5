"""EC2 instance types with NVIDIA GPUs that a model may ask for, and what a replica gets of one.

It stands here and not among the components, because every command reads the catalogue and none should load
the AWS SDK for it.

Source: Karpenter's reference of instance types (its labels come from `ec2:DescribeInstanceTypes`), v1.14 of
July 2026, https://karpenter.sh/v1.14/reference/instance-types/. Which region
offers which of them: `environments.offers`.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Accelerator:
    """An instance type. All are x86_64 with local NVMe disks."""

    gpu: str
    gpus: int
    gpu_memory_mib: int
    """Memory of one GPU."""
    vcpus: int
    memory_gib: int

    @property
    def gpu_memory_gib(self) -> float:
        """Memory of all its GPUs."""
        return self.gpus * self.gpu_memory_mib / 1024

    def share(self, gpus: int) -> "Share":
        """What a replica with that many GPUs may request.

        A quarter of processor and memory stays with the system: the kubelet's reserve, the hypervisor's part
        of the memory (7.5 % in Karpenter's reckoning) and the pods that run on every node.
        """
        part = 0.75 * gpus / self.gpus
        return Share(gpus=gpus, cpu_m=int(self.vcpus * 1000 * part), memory_gib=int(self.memory_gib * part))


@dataclass(frozen=True, kw_only=True)
class Share:
    """Part of a node: requests of a pod."""

    gpus: int
    cpu_m: int
    """Thousandths of a processor."""
    memory_gib: int


def _family(
    gpu: str, gpu_memory_mib: int, name: str, sizes: Mapping[str, tuple[int, int, int]]
) -> dict[str, Accelerator]:
    return {
        f"{name}.{size}": Accelerator(
            gpu=gpu, gpus=gpus, gpu_memory_mib=gpu_memory_mib, vcpus=vcpus, memory_gib=memory_gib
        )
        for size, (gpus, vcpus, memory_gib) in sizes.items()
    }


# Size -> (GPUs, vCPUs, memory in GiB). g5 and g6 have the same.
_G = {
    "xlarge": (1, 4, 16),
    "2xlarge": (1, 8, 32),
    "4xlarge": (1, 16, 64),
    "8xlarge": (1, 32, 128),
    "12xlarge": (4, 48, 192),
    "16xlarge": (1, 64, 256),
    "24xlarge": (4, 96, 384),
    "48xlarge": (8, 192, 768),
}
_G6E = {size: (gpus, vcpus, 2 * memory_gib) for size, (gpus, vcpus, memory_gib) in _G.items()}

ACCELERATORS: Mapping[str, Accelerator] = {
    **_family("A10G", 22_888, "g5", _G),
    **_family("L4", 22_888, "g6", _G),
    **_family("L40S", 45_776, "g6e", _G6E),
    **_family("A100", 40_960, "p4d", {"24xlarge": (8, 96, 1152)}),
    **_family("H100", 81_920, "p5", {"4xlarge": (1, 16, 256), "48xlarge": (8, 192, 2048)}),
}
