// The lit performer: scene, light, floor. A picture is drawn only when something in it changed.

import {
  BackSide,
  BoxGeometry,
  CanvasTexture,
  CircleGeometry,
  Color,
  DirectionalLight,
  HemisphereLight,
  Mesh,
  MeshBasicMaterial,
  NeutralToneMapping,
  PCFShadowMap,
  PlaneGeometry,
  PMREMGenerator,
  Scene,
  ShadowMaterial,
  WebGLRenderer,
} from "three";
import type { Avatar } from "./avatar";
import { FollowCamera } from "./camera";
import { GhostLines } from "./ghost";
import { Mannequin } from "./mannequin";
import type { Skeleton } from "./protocol";
import { Pose } from "./skeleton";
import type { Theme } from "./theme";

/** A little below zero, so that a sole that sinks by a hair does not flicker in the floor. */
const FLOOR = -0.012;

/** One moment of the performer. */
export interface Moment {
  root: ArrayLike<number>;
  rotations: ArrayLike<number>;
  ghost: { root: ArrayLike<number>; rotations: ArrayLike<number>; valid: ArrayLike<number> } | null;
  attention: ArrayLike<number> | null;
  /** Weights of the face by channel, null where nothing drives one; null where there is none at all. */
  face: readonly (number | null)[] | null;
  /** The bones that attention is about, in its order; -1 for one that the skeleton lacks. */
  joints: number[];
}

/** What draws the performer; there is one with WebGL and one without. */
export interface Picture {
  cast(skeleton: Skeleton): void;
  show(moment: Moment | null): void;
  paint(theme: Theme): void;
  turn(azimuth: number, elevation: number): void;
  closer(factor: number): void;
  reset(): void;
  /** Let an avatar perform in the mannequin's place; null takes it off. */
  wear(avatar: Avatar | null): void;
}

export class Stage implements Picture {
  /** True where the machine draws without a graphics card: then the light is simpler. */
  private readonly plain: boolean;
  /** True where the performer is to stand on nothing: in another program's picture. */
  private readonly overlay = location.pathname === "/overlay";
  private readonly renderer: WebGLRenderer;
  private readonly scene = new Scene();
  private readonly view: FollowCamera;
  private readonly key = new DirectionalLight(0xffffff, 2.1);
  private readonly rim = new DirectionalLight(0xffffff, 1.3);
  private readonly sky = new HemisphereLight(0xffffff, 0x2a2b2e, 0.12);
  private readonly pool: Mesh<CircleGeometry, MeshBasicMaterial>;
  private readonly contacts: Mesh<PlaneGeometry, MeshBasicMaterial>[] = [];
  private readonly floor: Mesh<PlaneGeometry, ShadowMaterial>;
  private mannequin: Mannequin | null = null;
  private ghost: GhostLines | null = null;
  private avatar: Avatar | null = null;
  private moment: Moment | null = null;
  private pose: Pose | null = null;
  private ghostPose: Pose | null = null;
  private feet: number[] = [];
  private height = 1.7;
  private theme: Theme;
  private pending = 0;
  private drawnAt = 0;

  constructor(
    private readonly canvas: HTMLCanvasElement,
    theme: Theme,
  ) {
    this.plain = drawsSlowly();
    this.renderer = new WebGLRenderer({ canvas, antialias: !this.plain, alpha: true });
    this.renderer.toneMapping = NeutralToneMapping;
    this.renderer.shadowMap.enabled = !this.plain;
    this.renderer.shadowMap.type = PCFShadowMap;
    this.view = new FollowCamera(canvas, () => this.redraw());
    this.pool = new Mesh(
      new CircleGeometry(3.4, 64).rotateX(-Math.PI / 2),
      new MeshBasicMaterial({ map: radial([[0, 1], [0.35, 0.72], [0.7, 0.2], [1, 0]]), transparent: true, depthWrite: false }),
    );
    this.pool.position.y = FLOOR - 0.002;
    this.floor = new Mesh(new PlaneGeometry(14, 14).rotateX(-Math.PI / 2), new ShadowMaterial());
    this.floor.receiveShadow = true;
    const soft = radial([[0, 1], [0.3, 0.7], [0.65, 0.2], [1, 0]]);
    for (let i = 0; i < 4; i++) {
      const contact = new Mesh(
        new PlaneGeometry(1, 1).rotateX(-Math.PI / 2),
        new MeshBasicMaterial({ map: soft, color: 0, transparent: true, depthWrite: false }),
      );
      contact.position.y = FLOOR + 0.001;
      contact.visible = false;
      this.contacts.push(contact);
    }
    this.lightUp();
    this.view.aim(0, 0, this.height);
    this.scene.add(this.pool, this.floor, ...this.contacts);
    this.theme = theme;
    this.paint(theme);
    new ResizeObserver(() => this.resize()).observe(canvas.parentElement!);
    this.resize();
  }

  cast(skeleton: Skeleton): void {
    if (this.mannequin !== null) {
      this.scene.remove(this.mannequin.mesh, this.ghost!.group);
      this.mannequin.dispose();
      this.ghost!.dispose();
    }
    this.mannequin = new Mannequin(skeleton);
    this.ghost = new GhostLines(skeleton);
    this.pose = new Pose(skeleton);
    this.ghostPose = new Pose(skeleton);
    this.feet = ["leftFoot", "leftToes", "rightFoot", "rightToes"].map((n) => skeleton.names.indexOf(n));
    this.height = tall(skeleton);
    this.mannequin.mesh.visible = false;
    this.ghost.hide();
    this.scene.add(this.mannequin.mesh, this.ghost.group);
    this.paint(this.theme);
  }

  show(moment: Moment | null): void {
    if (this.mannequin === null || this.pose === null) return;
    this.moment = moment;
    this.mannequin.mesh.visible = moment !== null && this.avatar === null;
    if (this.avatar !== null) this.avatar.scene.visible = moment !== null;
    for (const contact of this.contacts) contact.visible = moment !== null;
    if (moment === null) {
      this.ghost!.hide();
    } else {
      this.pose.set(moment.root, moment.rotations);
      this.avatar?.set(moment.root, moment.rotations, moment.face);
      this.mannequin.set(this.pose);
      this.mannequin.light(this.pose, moment.joints, moment.attention);
      if (moment.ghost === null || this.avatar !== null || this.overlay) this.ghost!.hide();
      else {
        this.ghostPose!.set(moment.ghost.root, moment.ghost.rotations);
        this.ghost!.set(this.ghostPose!, moment.ghost.valid);
      }
      this.follow(this.pose);
    }
    this.redraw();
  }

  paint(theme: Theme): void {
    this.theme = theme;
    this.mannequin?.paint(new Color(theme.body), new Color(theme.glow));
    this.ghost?.paint(new Color(theme.ghost), new Color(theme.ghostEdge));
    this.pool.material.color.set(theme.pool);
    this.pool.material.opacity = theme.dark ? 0.5 : 0.9;
    this.pool.visible = !this.overlay;
    this.floor.material.opacity = theme.shade;
    this.rim.intensity = theme.dark ? 1.5 : 0.7;
    this.key.intensity = theme.dark ? 2.0 : 1.5;
    if (this.plain) this.sky.intensity = theme.dark ? 1.5 : 2.6;
    this.scene.environmentIntensity = theme.dark ? 0.62 : 1.5;
    this.redraw();
  }

  turn(azimuth: number, elevation: number): void {
    this.view.turn(azimuth, elevation);
  }

  closer(factor: number): void {
    this.view.closer(factor);
  }

  reset(): void {
    this.view.reset();
  }

  wear(avatar: Avatar | null): void {
    if (this.avatar !== null) {
      this.scene.remove(this.avatar.scene);
      this.avatar.dispose();
    }
    this.avatar = avatar;
    if (avatar !== null) this.scene.add(avatar.scene);
    this.show(this.moment);
  }

  private follow(pose: Pose): void {
    const [x, z] = [pose.positions[0], pose.positions[2]];
    this.view.aim(x, z, this.avatar?.height ?? this.height);
    this.pool.position.x = x;
    this.pool.position.z = z;
    this.floor.position.set(x, FLOOR, z);
    this.key.position.set(x + 1.1, 5.2, z + 1.7);
    this.key.target.position.set(x, 0.7, z);
    this.rim.position.set(x - 1.6, 3.2, z - 3.2);
    this.rim.target.position.set(x, 1, z);
    for (const light of [this.key, this.rim]) light.target.updateMatrixWorld();
    this.contacts.forEach((contact, i) => {
      const bone = this.feet[i];
      contact.visible = bone >= 0;
      if (bone < 0) return;
      const [fx, fy, fz] = pose.positions.subarray(bone * 3, bone * 3 + 3);
      const lift = Math.max(fy - (i % 2 === 0 ? 0.08 : 0.015), 0);
      contact.position.x = fx;
      contact.position.z = fz;
      contact.scale.setScalar((this.plain ? 0.42 : 0.24) + lift * 1.2);
      contact.material.opacity = this.theme.shade * Math.max(0, 1 - lift * 5) * 0.9;
    });
  }

  /** Soft light from above: a large panel for the reflections, a key with a shadow, a rim. */
  private lightUp(): void {
    this.scene.add(this.key, this.key.target, this.rim, this.rim.target, this.sky);
    if (this.plain) return;
    const generator = new PMREMGenerator(this.renderer);
    this.scene.environment = generator.fromScene(lightRoom(), 0.05).texture;
    generator.dispose();
    const shadow = this.key.shadow;
    this.key.castShadow = true;
    shadow.mapSize.set(512, 512);
    shadow.radius = 3.5;
    shadow.bias = -0.0004;
    shadow.normalBias = 0.02;
    const box = shadow.camera;
    [box.left, box.right, box.top, box.bottom, box.near, box.far] = [-1.6, 1.6, 1.8, -1.8, 1, 9];
  }

  private resize(): void {
    const { clientWidth: w, clientHeight: h } = this.canvas.parentElement!;
    if (w === 0 || h === 0) return;
    this.renderer.setPixelRatio(Math.min(window.devicePixelRatio, 2));
    this.renderer.setSize(w, h, false);
    this.view.resize(w, h);
    this.draw(performance.now()); // at once: changing the size has wiped the picture
  }

  private redraw(): void {
    if (this.pending === 0) this.pending = requestAnimationFrame((now) => this.draw(now));
  }

  private draw(now: number): void {
    cancelAnimationFrame(this.pending);
    this.pending = 0;
    const moving = this.view.step(Math.min((now - this.drawnAt) / 1000, 0.25));
    this.drawnAt = now;
    this.avatar?.step(now);
    this.renderer.render(this.scene, this.view.camera);
    if (moving) this.redraw();
  }
}

/** Whether WebGL runs on the processor here; `?quality=full` in the address overrules it. */
function drawsSlowly(): boolean {
  if (new URLSearchParams(location.search).get("quality") === "full") return false;
  const probe = document.createElement("canvas").getContext("webgl2");
  const info = probe?.getExtension("WEBGL_debug_renderer_info");
  if (!probe || !info) return false;
  const name = String(probe.getParameter(info.UNMASKED_RENDERER_WEBGL));
  probe.getExtension("WEBGL_lose_context")?.loseContext();
  return /swiftshader|llvmpipe|software|basic render/i.test(name);
}

/** What the performer's skin reflects: a dim room with a bright panel above. */
function lightRoom(): Scene {
  const room = new Scene();
  const panel = (w: number, h: number, d: number, grey: number, side: 0 | 1 = 0) => {
    const material = new MeshBasicMaterial({ side });
    material.color.setScalar(grey);
    const mesh = new Mesh(new BoxGeometry(w, h, d), material);
    room.add(mesh);
    return mesh;
  };
  panel(12, 8, 12, 0.16, BackSide);
  panel(5, 0.1, 5, 7).position.y = 3.9;
  panel(0.1, 3, 4, 0.9).position.x = -5.8;
  panel(0.1, 3, 4, 0.5).position.x = 5.8;
  return room;
}

/** A white spot whose opacity falls off outwards: [radius, opacity] pairs. */
function radial(stops: [number, number][]): CanvasTexture {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 256;
  const context = canvas.getContext("2d")!;
  const gradient = context.createRadialGradient(128, 128, 0, 128, 128, 128);
  for (const [at, opacity] of stops) gradient.addColorStop(at, `rgba(255,255,255,${opacity})`);
  context.fillStyle = gradient;
  context.fillRect(0, 0, 256, 256);
  return new CanvasTexture(canvas);
}

/** How tall the performer stands, metres, from the floor to the crown. */
function tall(skeleton: Skeleton): number {
  const y = (name: string) => {
    const i = skeleton.names.indexOf(name);
    return i < 0 ? 0 : skeleton.offsets[i][1];
  };
  const legs = -(y("leftUpperLeg") + y("leftLowerLeg") + y("leftFoot"));
  const back = y("spine") + y("chest") + y("upperChest") + y("neck") + y("head");
  const height = legs + 0.08 + back + 0.2;
  return height > 0.5 ? height : 1.7;
}
